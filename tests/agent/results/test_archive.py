"""Listings, the archive stream and the upload, at the pod's end."""

from __future__ import annotations

import errno
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
from pytest_wf.agent.results.archive import CHANGED
from pytest_wf.agent.results.listing import Tree
from pytest_wf.agent.server import upload
from pytest_wf.wire import packs
from pytest_wf.wire.files import canonical_json, parse_json
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.safe_text import unquoted
from tests.support.deep_folder import make_file_below

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


def listed(perform: Perform, *run_ids: str) -> dict[str, Any]:
    """What is listed of each run."""
    answer = perform("listing", run_ids=list(run_ids or ("a",)))
    runs: dict[str, Any] = parse_json(canonical_json(answer))["runs"]
    return runs


def test_files_links_and_empty_folders_are_listed_and_what_is_neither_is_named(
    run_dir: Path, perform: Perform
) -> None:
    (run_dir / "nothing").mkdir()
    (run_dir / "attempts" / "last").symlink_to(run_dir / "attempts" / "1")
    (run_dir / "up").symlink_to("../a/attempts/last/../..")
    answer = listed(perform)["a"]
    assert [[path, size] for path, size, _ in answer["files"]] == [
        ["FETCHED.json", 2],
        ["attempts/1/stdout.log", 6],
        ["checkpoints/1.bin", 7],
        ["ckpt.pt", 7],
        ["empty", 0],
        ["last.ckpt", 7],
        ["metrics.jsonl", 3000],
    ]
    assert answer["links"] == [
        ["attempts/last", "attempts/1"],
        ["link", "metrics.jsonl"],
        ["up", "."],
    ]
    assert answer["folders"] == ["nothing"]
    assert answer["odd"] == [
        ["away", 0, "a link out of the run directory, to /etc"],
        ["pipe", 0, "a named pipe"],
    ]


def test_links_that_lead_nowhere_in_a_circle_or_to_no_file_are_named(
    run_dir: Path, perform: Perform
) -> None:
    for name, to in {"gone": "nowhere", "self": "self", "b": "c", "c": "b", "p": "pipe"}.items():
        (run_dir / name).symlink_to(to)
    (run_dir / "beside").symlink_to("../a.other/x")
    (run_dir.parent / "a.other").mkdir()
    (run_dir.parent / "a.other" / "x").touch()
    why = {path: why for path, _, why in listed(perform)["a"]["odd"]}
    assert {why[name] for name in ("gone", "self", "b", "c")} == {
        "a link to nothing in the run directory"
    }
    assert why["p"] == "a link to a named pipe"
    assert why["beside"] == "a link out of the run directory, to ../a.other/x"


def test_names_of_any_bytes_are_listed_and_read(
    run_dir: Path, perform: Perform, settings: Settings
) -> None:
    names = [b"a\nb", b"back\\slash", b"\xff\xfe", "e\u0301".encode(), b"\x1b[31m", b"n" * 255]
    for name in names:
        (Path(os.fsdecode(os.fsencode(run_dir) + b"/" + name))).write_bytes(name)
    answer = listed(perform)["a"]
    texts = [name.decode("utf-8", "surrogateescape") for name in names]
    listed_names = ((unquoted(path), size, mtime) for path, size, mtime in answer["files"])
    files = {path: [path, size, mtime, 0] for path, size, mtime in listed_names}
    assert all(path.isprintable() for path, _, _ in answer["files"]), "nothing steers a terminal"
    assert set(texts) <= set(files)
    head, data, tail = taken(sent(settings, *(files[text] for text in texts)))
    assert (head["paths"], data) == (texts, b"".join(names))
    assert tail["problems"] == [""] * len(names)


def test_deep_folders_and_long_paths_are_listed(run_dir: Path, perform: Perform) -> None:
    path = make_file_below(run_dir, "d" * 200, 40)
    assert path in [found for found, _, _ in listed(perform)["a"]["files"]]


def test_holes_are_counted(run_dir: Path, perform: Perform) -> None:
    with open(run_dir / "sparse", "wb") as f:
        f.write(b"x" * 4096)
        f.truncate(10_000_000)
    assert listed(perform)["a"]["holes"] >= 9_900_000


def test_a_run_directory_that_is_a_link_is_named_and_one_that_is_absent_is_not_listed(
    run_dir: Path, perform: Perform, settings: Settings
) -> None:
    Path(settings.run_dir("b")).symlink_to(run_dir)
    answer = listed(perform, "a", "b", "c")
    assert set(answer) == {"a", "b"}
    assert answer["b"]["files"] == []
    assert answer["b"]["odd"] == [[".", 0, "the run directory is a link"]]
    with pytest.raises(Refusal):
        perform("listing", run_ids=["../a"])


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
    assert tail == {"sha256": [sha256(data)], "problems": [""]}
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
        assert tail == {"sha256": [*map(sha256, pieces)], "problems": [""] * len(pieces)}
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
    assert (head["sizes"], len(data), tail["problems"]) == ([size], size, [CHANGED])


def test_what_is_there_already_is_hashed_and_not_sent(run_dir: Path, settings: Settings) -> None:
    head, data, tail = taken(sent(settings, wanted(run_dir, "metrics.jsonl", 2000)))
    assert (head["sizes"], head["offset"]) == ([3000], 2000)
    assert data == (b"{}\n" * 1000)[2000:]
    assert tail == {"sha256": [sha256(b"{}\n" * 1000)], "problems": [""]}


@pytest.mark.parametrize(("offset", "older_ns"), [(2000, 1), (3001, 0), (-1, 0), (0, 0), (0, 1)])
def test_a_changed_file_and_an_odd_offset_come_from_the_start(
    run_dir: Path, settings: Settings, offset: int, older_ns: int
) -> None:
    asked = wanted(run_dir, "metrics.jsonl", offset, older_ns=older_ns)
    head, data, tail = taken(sent(settings, asked))
    assert (head["offset"], len(data), tail["problems"]) == (
        0,
        3000,
        [CHANGED if older_ns else ""],
    )


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
        assert json.loads(out.readline()) == {"sha256": [sha256(data)], "problems": [""]}


@pytest.mark.parametrize(
    "path", ["gone", "link", "away/passwd", "pipe", "attempts", "../b", "/etc/passwd", "a//b", ""]
)
@pytest.mark.parametrize("size", [5, 100_000])
def test_what_is_no_regular_file_below_the_run_is_sent_as_nothing(
    run_dir: Path, settings: Settings, path: str, size: int
) -> None:
    head, data, tail = taken(sent(settings, [path, size, 1, 0]))
    assert (head["sizes"], data) == ([0], b"")
    assert tail["problems"][0].startswith(("cannot be read: ", "removed before"))


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


@pytest.mark.fault("N3")
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


@pytest.mark.parametrize("size", [5, 100_000], ids=["in a pack", "alone"])
def test_a_file_that_may_not_be_read_is_sent_as_nothing_with_the_reason(
    run_dir: Path, settings: Settings, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(tree: Tree, path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Tree, "open", refuse)
    head, data, tail = taken(sent(settings, ["metrics.jsonl", size, 1, 0]))
    assert (head["sizes"], data) == ([0], b"")
    assert tail["problems"] == ["cannot be read: Permission denied"]
