"""Listings, the archive stream and the upload, at the pod's end."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results import archive
from pytest_wf.agent.server import upload
from pytest_wf.wire import packs
from pytest_wf.wire.messages import Refusal

Perform = Callable[..., dict[str, Any]]


@pytest.fixture
def run_dir(settings: Settings) -> Path:
    """A run with results, checkpoints, and things that are no results."""
    folder = Path(settings.run_dir("a"))
    (folder / "attempts" / "1").mkdir(parents=True)
    (folder / "attempts" / "1" / "stdout.log").write_text("hello\n")
    (folder / "metrics.jsonl").write_bytes(b"{}\n" * 1000)
    (folder / "empty").touch()
    (folder / "ckpt.pt").write_bytes(b"weights")
    (folder / "last.ckpt").write_bytes(b"weights")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "1.bin").write_bytes(b"weights")
    (folder / "link").symlink_to("metrics.jsonl")
    (folder / "away").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    (folder / "FETCHED.json").write_text("{}")
    return folder


def paths(answer: dict[str, Any], run_id: str = "a") -> list[str]:
    """Names in a listing."""
    return [path for path, _, _ in answer["runs"][run_id]]


def test_regular_files_alone_are_listed(run_dir: Path, perform: Perform) -> None:
    answer = perform("listing", run_ids=["a"], checkpoints=False)
    assert paths(answer) == ["attempts/1/stdout.log", "empty", "metrics.jsonl"]
    assert answer["runs"]["a"][2][1] == 3000
    assert answer["left_out"] == {}


def test_checkpoints_are_listed_when_asked_for(run_dir: Path, perform: Perform) -> None:
    found = paths(perform("listing", run_ids=["a"], checkpoints=True))
    assert {"ckpt.pt", "last.ckpt", "checkpoints/1.bin"} < set(found)


def test_names_that_cannot_be_carried_are_told(run_dir: Path, perform: Perform) -> None:
    (run_dir / "a\nb").touch()
    (run_dir / "back\\slash").touch()
    with open(os.fsencode(run_dir) + b"/\xff", "w"):
        pass
    answer = perform("listing", run_ids=["a"], checkpoints=False)
    assert len(answer["left_out"]["a"]) == 3
    json.dumps(answer).encode("utf-8")


def test_runs_that_are_absent_or_links_are_left_out(
    run_dir: Path, perform: Perform, settings: Settings
) -> None:
    Path(settings.run_dir("b")).symlink_to(run_dir)
    assert list(perform("listing", run_ids=["a", "b", "c"], checkpoints=False)["runs"]) == ["a"]
    with pytest.raises(Refusal):
        perform("listing", run_ids=["../a"], checkpoints=False)


def sent(settings: Settings, *files: list[Any], codings: Sequence[str] = ()) -> io.BytesIO:
    """The archive of `files` of run a, from its start."""
    request = {"settings": dict(settings), "runs": [["a", files]], "codings": codings}
    out = io.BytesIO()
    assert archive.send(io.BytesIO(json.dumps(request).encode() + b"\n"), out) == 0
    out.seek(0)
    return out


def taken(out: io.BytesIO) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
    """The next pack of an archive: header, bytes, trailer."""
    head = json.loads(out.readline())
    data = out.read(sum(head["sizes"]) - head["offset"])
    return head, data, json.loads(out.readline())


def wanted(folder: Path, path: str, offset: int = 0, **other: int) -> list[Any]:
    """A file as the controller asks for it once it was listed."""
    found = (folder / path).stat()
    size = other.get("size", found.st_size)
    return [path, size, found.st_mtime_ns - other.get("older_ns", 0), offset]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_large_file_is_sent_with_its_digest_behind_it(run_dir: Path, settings: Settings) -> None:
    data = os.urandom(3 << 20)
    (run_dir / "ckpt").write_bytes(data)
    out = sent(settings, wanted(run_dir, "ckpt"))
    head, come, tail = taken(out)
    assert (head["run_id"], head["paths"], head["sizes"]) == ("a", ["ckpt"], [3 << 20])
    assert come == data
    assert tail == {"sha256": [sha256(data)], "whole": [True]}
    assert json.loads(out.readline()) == {"end": 1}


def test_small_files_share_packs_up_to_a_size(run_dir: Path, settings: Settings) -> None:
    contents = {f"f{n:03}": os.urandom(4096) for n in range(200)}
    for name, data in contents.items():
        (run_dir / name).write_bytes(data)
    (run_dir / "f007").chmod(0o755)
    (run_dir / "f100").write_bytes(large := os.urandom(100_000))
    out = sent(settings, *(wanted(run_dir, name) for name in contents))
    lengths = []
    while "end" not in (head := json.loads(out.readline())):
        lengths.append(len(head["paths"]))
        assert sum(head["sizes"]) <= packs.PACK_BYTES + packs.SMALL_BYTES
        pieces = [out.read(size) for size in head["sizes"]]
        tail = json.loads(out.readline())
        assert tail == {"sha256": [*map(sha256, pieces)], "whole": [True] * len(pieces)}
        for name, piece, mode in zip(head["paths"], pieces, head["modes"], strict=True):
            assert piece == (large if name == "f100" else contents[name])
            assert bool(mode & 0o100) == (name == "f007")
    assert head == {"end": 200}
    assert lengths == [63, 37, 1, 63, 36]


@pytest.mark.parametrize(("announced", "size"), [(10, 10), (2999, 2999), (5000, 3000)])
@pytest.mark.parametrize("offset", [0, 6000], ids=["in a pack", "alone"])
def test_a_file_of_another_size_is_sent_as_announced_and_not_whole(
    run_dir: Path, settings: Settings, announced: int, size: int, offset: int
) -> None:
    out = sent(settings, wanted(run_dir, "metrics.jsonl", offset, size=announced))
    head, data, tail = taken(out)
    assert (head["sizes"], len(data), tail["whole"]) == ([size], size, [False])


def test_what_is_there_already_is_hashed_and_not_sent(run_dir: Path, settings: Settings) -> None:
    head, data, tail = taken(sent(settings, wanted(run_dir, "metrics.jsonl", 2000)))
    assert (head["sizes"], head["offset"]) == ([3000], 2000)
    assert data == (b"{}\n" * 1000)[2000:]
    assert tail == {"sha256": [sha256(b"{}\n" * 1000)], "whole": [True]}


@pytest.mark.parametrize(("offset", "older_ns"), [(2000, 1), (3001, 0), (-1, 0), (0, 0), (0, 1)])
def test_a_changed_file_and_an_odd_offset_come_from_the_start(
    run_dir: Path, settings: Settings, offset: int, older_ns: int
) -> None:
    asked = wanted(run_dir, "metrics.jsonl", offset, older_ns=older_ns)
    head, data, tail = taken(sent(settings, asked))
    assert (head["offset"], len(data), tail["whole"]) == (0, 3000, [not older_ns])


def test_long_reading_without_sending_gives_signs_of_life(
    run_dir: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "HASHED_EVERY_BYTES", 1000)
    monkeypatch.setattr(archive, "PIECE_BYTES", 700)
    out = sent(settings, wanted(run_dir, "metrics.jsonl", 3000))
    lines = [json.loads(line) for line in out.read().splitlines()]
    assert [line.get("hashed") for line in lines] == [1400, 2100, 3000, None, None, None]


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (b"step 1 loss 2.5\n" * 10_000, "zlib"),
        (b"step 1 loss 2.5\n" * 100, ""),
        (os.urandom(200_000), ""),
    ],
    ids=["text", "a little text", "noise"],
)
def test_what_shrinks_is_compressed_where_that_is_understood(
    run_dir: Path, settings: Settings, data: bytes, coding: str
) -> None:
    (run_dir / "log").write_bytes(data)
    for codings, expected in ((["zlib"], coding), ([], "")):
        out = sent(settings, wanted(run_dir, "log"), codings=codings)
        head = json.loads(out.readline())
        assert head["coding"] == expected
        body = b""
        if not expected:
            body = out.read(len(data))
        while expected and (length := int.from_bytes(out.read(4), "big")):
            body += out.read(length)
        assert (zlib.decompress(body) if expected else body) == data
        assert json.loads(out.readline()) == {"sha256": [sha256(data)], "whole": [True]}


@pytest.mark.parametrize(
    "path", ["gone", "link", "away/passwd", "pipe", "attempts", "../b", "/etc/passwd", "a//b", ""]
)
@pytest.mark.parametrize("size", [5, 100_000])
def test_what_is_no_regular_file_below_the_run_is_sent_as_nothing(
    run_dir: Path, settings: Settings, path: str, size: int
) -> None:
    head, data, tail = taken(sent(settings, [path, size, 1, 0]))
    assert (head["sizes"], data, tail["whole"]) == ([0], b"", [False])


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b"not json\n",
        b'{"settings": {}, "runs": [], "codings": []}\n',
        b'{"settings": {"OPS_REMOTE_OUTPUTS_DIR": "/x"}, "codings": [], "runs": [["../a", []]]}\n',
        b'{"settings": {"OPS_REMOTE_OUTPUTS_DIR": "/x"}, "codings": [], "runs": [["a", [1]]]}\n',
    ],
)
def test_odd_requests_send_nothing(line: bytes) -> None:
    out = io.BytesIO()
    assert archive.send(io.BytesIO(line), out) == 2
    assert out.getvalue() == b""


def test_an_upload_is_verified_before_it_has_its_name(tmp_path: Path) -> None:
    data = b"bundle" * 1000
    digest = hashlib.sha256(data).hexdigest()
    place = tmp_path / "new" / "bundle"
    answer = upload.receive(io.BytesIO(data), str(place), len(data), digest)
    assert answer["ok"] is True
    assert place.read_bytes() == data


@pytest.mark.parametrize("fault", ["torn", "longer", "other"])
def test_a_bad_upload_leaves_the_old_file_and_no_torso(tmp_path: Path, fault: str) -> None:
    data = b"bundle" * 1000
    digest = hashlib.sha256(data).hexdigest()
    come = {"torn": data[:-1], "longer": data + b"x", "other": data[:-1] + b"x"}[fault]
    place = tmp_path / "bundle"
    place.write_text("old")
    answer = upload.receive(io.BytesIO(come), str(place), len(data), digest)
    assert answer["ok"] is False
    assert place.read_text() == "old"
    assert os.listdir(tmp_path) == ["bundle"]


def test_who_is_asked_for_nothing_sends_nothing() -> None:
    out = io.BytesIO()
    assert archive.send(io.BytesIO(b""), out) == 0
    assert out.getvalue() == b""
