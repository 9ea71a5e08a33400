"""A pod that lies gets nothing written: each lie is refused with the name that it is about."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.fetch.announced_files import checked
from pytest_wf.fetch.fetch import FetchOptions, FetchResult, fetch_runs
from pytest_wf.fetch.local_runs import verified_runs
from pytest_wf.wire.files import canonical_json
from pytest_wf.wire.packs import MAX_LINE_BYTES
from tests.support.streams import PreparedStream

CAMPAIGN = "c-20260102T030405Z-abcdef"
DATA = b"data" * 50_000


class Liar:
    """A pod that answers what it was told to, whatever it is asked."""

    def __init__(self, listed: object, stream: bytes = b"") -> None:
        self.listed = listed
        self.stream = stream
        self.asked = 0

    def request(
        self, op: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 60
    ) -> dict[str, Any]:
        assert op == "listing"
        assert isinstance(self.listed, dict)
        return self.listed

    def archive(self) -> PreparedStream:
        return PreparedStream(self.stream)

    def archive_request(self, runs: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> bytes:
        self.asked += 1
        return b""


def listing(files: object, **other: object) -> dict[str, Any]:
    """A listing of run a."""
    return {"runs": {"a": {"files": files, **other}}}


def lying(*files: list[Any], stream: bytes = b"") -> Liar:
    """A pod that announces `files` as run a's."""
    return Liar(listing(list(files)), stream)


def bring(pod: Liar, dest: Path) -> FetchResult:
    return fetch_runs(pod, ["a"], FetchOptions(dest, CAMPAIGN))


def entry(path: object = "x", size: object = len(DATA), *more: Any) -> list[Any]:
    """A file of a listing."""
    return [path, size, 1, *more]


def head(path: str = "x", size: object = len(DATA), mode: object = 420, **other: Any) -> bytes:
    """The header of a file in a stream."""
    value = {"run_id": "a", "paths": [path], "sizes": [size], "modes": [mode], **other}
    return canonical_json(value) + b"\n"


def tail(*data: bytes, **other: Any) -> bytes:
    digests = [hashlib.sha256(piece).hexdigest() for piece in data or [DATA]]
    value = {"sha256": digests, "problems": [""] * len(digests), **other}
    return canonical_json(value) + b"\n"


def frames(*pieces: bytes) -> bytes:
    """The frames of a compressed file, up to its end."""
    return b"".join(len(p).to_bytes(4, "big") + p for p in [*pieces, b""])


END = b'{"end":1}\n'
WHOLE = head() + DATA + tail() + END


def refused(pod: Liar, tmp_path: Path, name: str, kind: str = "hostile-answer") -> None:
    """The fetch is refused with `name`, no run takes a place, nothing is outside."""
    with pytest.raises(OperationFailed) as failed:
        bring(pod, tmp_path / "here")
    assert failed.value.kind == kind
    assert name in str(failed.value), str(failed.value)
    assert [p.name for p in tmp_path.iterdir()] == ["here"]
    assert {p.name for p in (tmp_path / "here").iterdir()} <= {".a.part", ".a.part.jsonl"}
    assert verified_runs(tmp_path / "here", CAMPAIGN) == set()


def test_what_is_told_here_as_the_truth_is_taken(tmp_path: Path) -> None:
    assert bring(lying(entry(), stream=WHOLE), tmp_path).runs["a"].verified
    assert (tmp_path / "a" / "x").read_bytes() == DATA


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "a/./b",
        "",
        "a/",
        "a\0b",
        "a%00b",
        "a%2F..%2F..%2Fb",
        "100%",
        "x\ud800",
    ],
)
def test_names_that_lead_elsewhere_stop_the_fetch_before_anything_is_asked(
    tmp_path: Path, path: str
) -> None:
    pod = lying(entry(path))
    refused(pod, tmp_path, repr(path))
    assert pod.asked == 0
    assert os.listdir(tmp_path / "here") == []


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ([entry("x"), entry("x")], "'x'"),
        ([entry("d"), entry("d/x")], "'d/x'"),
        ([entry(size=-1)], "'x'"),
        ([entry(size=True)], "'x'"),
        ([entry(size="1")], "'x'"),
        ([entry(size=10**18)], "1,000,000,000,000,000,000"),
        ([entry(7)], "7"),
        ([entry("x", 1, "/etc/passwd")], "'x'"),
        ([entry("x", 1, {"device": [1, 3]})], "'x'"),
        ([entry()[:2]], "'x'"),
        ([["x", 1, "now"]], "'now'"),
        ([{"path": "x", "size": 1, "mtime_ns": 1}], "'x'"),
        (["x"], "run a"),
        ("x", "run a"),
    ],
)
def test_listings_that_no_directory_has_are_refused(tmp_path: Path, files: Any, name: str) -> None:
    is_too_large = "," in name
    kind = "local-disk" if is_too_large else "hostile-answer"
    refused(Liar(listing(files)), tmp_path, name, kind)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ({}, "its listing"),
        ({"runs": []}, "its listing"),
        ({"runs": {"a": {}, "b": {}}}, "'b'"),
        ({"runs": {"a": []}}, "run a is not an object"),
        (listing([], odd=1), "the odd of run a"),
        (listing([], odd=[["x", 1]]), "run a"),
        (listing([], odd=[["x", -1, "why"]]), "run a"),
        (listing([], holes=-1), "run a"),
        (listing([], folders=["../x"]), "'../x'"),
        (listing([entry()], folders=["x"]), "'x' twice"),
        (listing([entry()], links=[["x", "."]]), "'x' twice"),
        (listing([entry("l/x")], links=[["l", "."]]), "'l'"),
        (listing([], links=[["/l", "x"]]), "'/l'"),
        (listing([], links=[["l", "../x"]]), "'../x'"),
        (listing([], links=[["l", "/etc"]]), "'/etc'"),
        (listing([], links=[["l"]]), "run a"),
    ],
)
def test_listings_of_something_else_are_refused(
    tmp_path: Path, answer: dict[str, Any], what: str
) -> None:
    refused(Liar(answer), tmp_path, what)


BOMB = zlib.compress(b"\0" * (len(DATA) * 50))


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        pytest.param(head("../x") + DATA + tail(), "'../x'", id="a name outside"),
        pytest.param(head("/etc/x") + DATA + tail(), "'/etc/x'", id="an absolute name"),
        pytest.param(head(run_id="b") + DATA + tail(), "'b'", id="another run"),
        pytest.param(head(link="/etc/passwd") + tail(b""), "'x'", id="a link"),
        pytest.param(head(mode=0o120777) + DATA + tail(), "'x'", id="a link by its mode"),
        pytest.param(head(hardlink="../y") + tail(b""), "'x'", id="a hard link"),
        pytest.param(head(mode=0o20666) + DATA + tail(), "'x'", id="a device"),
        pytest.param(head(size=len(DATA) + 1) + DATA + b"!", "'x'", id="more than announced"),
        pytest.param(head(size=-1) + DATA, "'x'", id="less than nothing"),
        pytest.param(head(size=True) + DATA, "'x'", id="a size that is none"),
        pytest.param(head(mode="rw") + DATA, "'x'", id="a mode that is none"),
        pytest.param(head(offset=5) + DATA[5:] + tail(), "'x'", id="a part nobody asked for"),
        pytest.param(head(offset=-5) + DATA + tail(), "'x'", id="from before the start"),
        pytest.param(head(coding="xz") + DATA + tail(), "'xz'", id="an unknown coding"),
        pytest.param(head(coding="zlib") + frames(BOMB), "'x'", id="a bomb"),
        pytest.param(head(coding="zlib") + frames(b"no zlib"), "'x'", id="no zlib"),
        pytest.param(
            head(coding="zlib") + frames(zlib.compress(DATA)[:-9]), "'x'", id="a torn stream"
        ),
        pytest.param(
            head(coding="zlib") + frames(zlib.compress(DATA) + b"more"), "'x'", id="data behind it"
        ),
        pytest.param(
            head(coding="zlib") + (1 << 31).to_bytes(4, "big"), "'x'", id="an endless frame"
        ),
        pytest.param(END, "'x'", id="a missing member"),
        pytest.param(
            head() + DATA + tail() + head("y") + DATA + tail() + END, "'y'", id="an extra member"
        ),
        pytest.param(head() + DATA + tail() + WHOLE, "'x'", id="the same once more"),
        pytest.param(head() + DATA + tail() + b'{"end": 2}\n', "after", id="another count"),
        pytest.param(head() + DATA + b'{"sha256":1,"sha256":2}\n', "twice", id="doubled keys"),
        pytest.param(head() + DATA + b"{}\n", "'x'", id="no digest"),
        pytest.param(head(sizes=[]) + DATA + tail(), "'x'", id="no size"),
        pytest.param(head(paths=[]) + DATA + tail(), "'x'", id="no name"),
        pytest.param(head(paths="x") + DATA + tail(), "'x'", id="names that are no list"),
        pytest.param(
            head(paths=["x", "y"], sizes=[1, 1], modes=[420, 420]), "'y'", id="one name too many"
        ),
        pytest.param(b"[]\n" + WHOLE, "not an object", id="no object"),
        pytest.param(b"z" * (MAX_LINE_BYTES + 1), "no end", id="an endless line"),
        pytest.param(b'{"hashed":1}\n' * 9 + WHOLE, "None", id="signs of life without end"),
    ],
)
def test_streams_that_lie_are_refused_and_leave_no_run(
    tmp_path: Path, stream: bytes, name: str
) -> None:
    refused(lying(entry(), stream=stream), tmp_path, name)


SMALL = [entry("d/x", 3), entry("y", 0), entry("z", 2)]
NAMES: dict[str, Any] = {"paths": ["d/x", "y", "z"], "sizes": [3, 0, 2], "modes": [420, 493, 420]}
DIGESTS = tail(b"abc", b"", b"de")
END_OF_SMALL = b'{"end":3}\n'


def test_small_files_may_share_a_pack(tmp_path: Path) -> None:
    for packs in (
        head(**NAMES) + b"abcde" + DIGESTS,
        head("d/x", 3)
        + b"abc"
        + tail(b"abc")
        + head(paths=["y", "z"], sizes=[0, 2], modes=[493, 420])
        + b"de"
        + tail(b"", b"de"),
    ):
        here = tmp_path / str(len(packs))
        assert bring(lying(*SMALL, stream=packs + END_OF_SMALL), here).runs["a"].verified
        found = {name: (here / "a" / name).read_bytes() for name in ("d/x", "y", "z")}
        assert found == {"d/x": b"abc", "y": b"", "z": b"de"}
        assert os.access(here / "a" / "y", os.X_OK)
        assert not os.access(here / "a" / "z", os.X_OK) or os.geteuid() == 0


@pytest.mark.parametrize(
    ("stream", "name", "kind"),
    [
        (head(**NAMES) + b"abXde" + DIGESTS, "d/x arrived", "digest"),
        (head(**NAMES) + b"abcdX" + DIGESTS, "z arrived", "digest"),
        (head(**{**NAMES, "paths": ["d/x", "../y", "z"]}) + b"abcde" + DIGESTS, "'../y'", ""),
        (head(**{**NAMES, "paths": ["d/x", "z", "y"]}) + b"abcde" + DIGESTS, "'y'", ""),
        (head(**{**NAMES, "paths": ["d/x", "d/x", "z"]}) + b"abcde" + DIGESTS, "'y'", ""),
        (head(**{**NAMES, "sizes": [3, 0, 3]}) + b"abcdef" + DIGESTS, "'z'", ""),
        (head(**{**NAMES, "sizes": [3, -1, 2]}) + b"abcd" + DIGESTS, "'y'", ""),
        (head(**{**NAMES, "sizes": [3, 2]}) + b"abcde" + DIGESTS, "incomplete entries", ""),
        (head(**{**NAMES, "modes": [420, 0o120777, 420]}) + b"abcde" + DIGESTS, "'y'", ""),
        (head(**NAMES, coding="zlib") + frames(zlib.compress(b"abcde")) + DIGESTS, "'d/x'", ""),
        (head(**NAMES, offset=1) + b"bcde" + DIGESTS, "'d/x'", ""),
        (head(**NAMES) + b"abcde" + tail(b"abc", b""), "incomplete entries", ""),
        (head(**NAMES) + b"abcde" + tail(b"abc", b"", b"de", b""), "incomplete entries", ""),
    ],
)
def test_packs_that_lie_are_refused_and_leave_no_run(
    tmp_path: Path, stream: bytes, name: str, kind: str
) -> None:
    pod = lying(*SMALL, stream=stream + END_OF_SMALL)
    refused(pod, tmp_path, name, kind or "hostile-answer")
    written = {p.name for p in (tmp_path / "here" / ".a.part").rglob("*") if p.is_file()}
    assert written <= ({"x", "y"} if name.startswith("z") else set()), "only what was verified"


def test_a_pack_does_not_grow_beyond_what_memory_is_for_it(tmp_path: Path) -> None:
    crowd = [entry(f"f{n}", 60_000) for n in range(20)]
    names: dict[str, Any] = {key: [f[i] for f in crowd] for i, key in enumerate(("paths", "sizes"))}
    pod = lying(*crowd, stream=head(**names, modes=[420] * 20))
    refused(pod, tmp_path, "1200000 bytes")


def test_the_right_size_with_a_wrong_digest_is_refused(tmp_path: Path) -> None:
    stream = head() + DATA[:-1] + b"?" + tail() + END
    refused(lying(entry(), stream=stream), tmp_path, "x arrived with SHA-256", "digest")
    assert not (tmp_path / "here" / ".a.part" / "x").exists(), "nothing to go on from"


def test_a_member_that_the_listing_lacks_is_no_part_of_the_run(tmp_path: Path) -> None:
    pod = lying(entry(), entry("y", 0))
    pod.stream = head() + DATA + tail() + head("z") + DATA + tail() + END
    refused(pod, tmp_path, "'y'")


def test_files_of_a_listing_are_as_it_says() -> None:
    files = checked("a", {"files": [entry("b/c", 5), entry("ä", 0)]}).files
    assert [(f.run_id, f.path, f.size) for f in files] == [("a", "b/c", 5), ("a", "ä", 0)]


@given(noise=st.binary(max_size=200), at=st.integers(0, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_noise_in_a_stream_makes_a_wrong_run(tmp_path: Path, noise: bytes, at: int) -> None:
    data = b"data" * 20
    whole = head(size=80) + data + tail(data) + END
    pod = lying(entry(size=80), stream=whole[:at] + noise + whole[at + len(noise) :])
    try:
        bring(pod, tmp_path)
    except (OperationFailed, LinkLost):
        pass
    if (tmp_path / "a").exists():
        assert (tmp_path / "a" / "x").read_bytes() == data
