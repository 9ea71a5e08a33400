"""Listings, the archive stream and the upload, at the pod's end."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import archive
from pytest_wf.agent.settings import Settings
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
    return [f["path"] for f in answer["runs"][run_id]]


def test_regular_files_alone_are_listed(run_dir: Path, perform: Perform) -> None:
    answer = perform("listing", run_ids=["a"], checkpoints=False)
    assert paths(answer) == ["attempts/1/stdout.log", "empty", "metrics.jsonl"]
    assert answer["runs"]["a"][2]["size"] == 3000
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


def sent(settings: Settings, *files: dict[str, Any]) -> io.BytesIO:
    """The archive of `files`, from its start."""
    request = {"settings": dict(settings), "files": list(files)}
    out = io.BytesIO()
    assert archive.send(io.BytesIO(json.dumps(request).encode() + b"\n"), out) == 0
    out.seek(0)
    return out


def taken(out: io.BytesIO) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
    """The next file of an archive: header, bytes, trailer."""
    head = json.loads(out.readline())
    data = out.read(head["size"])
    return head, data, json.loads(out.readline())


def test_a_file_is_sent_with_its_digest_behind_it(run_dir: Path, settings: Settings) -> None:
    out = sent(settings, {"run_id": "a", "path": "metrics.jsonl", "size": 3000})
    head, data, tail = taken(out)
    assert (head["run_id"], head["path"], head["size"]) == ("a", "metrics.jsonl", 3000)
    assert data == b"{}\n" * 1000
    assert tail == {"sha256": hashlib.sha256(data).hexdigest(), "whole": True}
    assert json.loads(out.readline()) == {"end": 1}


@pytest.mark.parametrize(("announced", "size"), [(10, 10), (2999, 2999), (5000, 3000)])
def test_a_file_of_another_size_is_sent_as_announced_and_not_whole(
    run_dir: Path, settings: Settings, announced: int, size: int
) -> None:
    out = sent(settings, {"run_id": "a", "path": "metrics.jsonl", "size": announced})
    head, data, tail = taken(out)
    assert (head["size"], len(data), tail["whole"]) == (size, size, False)


def mtime_ns(folder: Path) -> int:
    """The stamp of metrics.jsonl."""
    return (folder / "metrics.jsonl").stat().st_mtime_ns


def test_what_is_there_already_is_hashed_and_not_sent(run_dir: Path, settings: Settings) -> None:
    wanted = {"run_id": "a", "path": "metrics.jsonl", "size": 3000, "offset": 2000}
    out = sent(settings, {**wanted, "mtime_ns": mtime_ns(run_dir)})
    head = json.loads(out.readline())
    assert (head["size"], head["offset"]) == (3000, 2000)
    assert out.read(1000) == (b"{}\n" * 1000)[2000:]
    digest = hashlib.sha256(b"{}\n" * 1000).hexdigest()
    assert json.loads(out.readline()) == {"sha256": digest, "whole": True}


@pytest.mark.parametrize(("offset", "older_ns"), [(2000, 1), (3001, 0), (-1, 0), (0, 0)])
def test_a_changed_file_and_an_odd_offset_come_from_the_start(
    run_dir: Path, settings: Settings, offset: int, older_ns: int
) -> None:
    wanted = {"run_id": "a", "path": "metrics.jsonl", "size": 3000, "offset": offset}
    head, data, tail = taken(sent(settings, {**wanted, "mtime_ns": mtime_ns(run_dir) - older_ns}))
    assert (head["offset"], len(data), tail["whole"]) == (0, 3000, not older_ns)


def test_long_reading_without_sending_gives_signs_of_life(
    run_dir: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "HASHED_EVERY_BYTES", 1000)
    monkeypatch.setattr(archive, "PIECE_BYTES", 700)
    wanted = {"run_id": "a", "path": "metrics.jsonl", "size": 3000, "offset": 3000}
    out = sent(settings, {**wanted, "mtime_ns": mtime_ns(run_dir)})
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
    request = {
        "settings": dict(settings),
        "files": [{"run_id": "a", "path": "log", "size": len(data)}],
    }
    for codings, expected in ((["zlib"], coding), ([], "")):
        out = io.BytesIO()
        line = json.dumps({**request, "codings": codings}).encode() + b"\n"
        assert archive.send(io.BytesIO(line), out) == 0
        out.seek(0)
        head = json.loads(out.readline())
        assert head["coding"] == expected
        body = b""
        if not expected:
            body = out.read(len(data))
        while expected and (length := int.from_bytes(out.read(4), "big")):
            body += out.read(length)
        assert (zlib.decompress(body) if expected else body) == data
        digest = hashlib.sha256(data).hexdigest()
        assert json.loads(out.readline()) == {"sha256": digest, "whole": True}


@pytest.mark.parametrize(
    "path", ["gone", "link", "away/passwd", "pipe", "attempts", "../b", "/etc/passwd", "a//b", ""]
)
def test_what_is_no_regular_file_below_the_run_is_sent_as_nothing(
    run_dir: Path, settings: Settings, path: str
) -> None:
    head, data, tail = taken(sent(settings, {"run_id": "a", "path": path, "size": 5}))
    assert (head["size"], data, tail["whole"]) == (0, b"", False)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}\n",
        b"not json\n",
        b'{"settings": {}, "files": []}\n',
        b'{"settings": {"OPS_REMOTE_OUTPUTS_DIR": "/x"}, "files": [{"run_id": "../a"}]}\n',
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
    answer = archive.receive(io.BytesIO(data), str(place), len(data), digest)
    assert answer["ok"] is True
    assert place.read_bytes() == data


@pytest.mark.parametrize("fault", ["torn", "longer", "other"])
def test_a_bad_upload_leaves_the_old_file_and_no_torso(tmp_path: Path, fault: str) -> None:
    data = b"bundle" * 1000
    digest = hashlib.sha256(data).hexdigest()
    come = {"torn": data[:-1], "longer": data + b"x", "other": data[:-1] + b"x"}[fault]
    place = tmp_path / "bundle"
    place.write_text("old")
    answer = archive.receive(io.BytesIO(come), str(place), len(data), digest)
    assert answer["ok"] is False
    assert place.read_text() == "old"
    assert os.listdir(tmp_path) == ["bundle"]
