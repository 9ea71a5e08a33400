"""Strict JSON, and files that are old or new but never torn."""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire.files import (
    BadJson,
    canonical_json,
    parse_json,
    pretty_json,
    read_json,
    sha256_bytes,
    sha256_file,
    write_atomic,
    write_json,
)
from pytest_wf.wire.safe_text import CONTROLS

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
UTF8_JSON = JSON.filter(lambda value: "\\ud" not in json.dumps(value))


@given(UTF8_JSON)
def test_what_is_written_is_read_back(value: object) -> None:
    assert parse_json(canonical_json(value)) == value
    assert parse_json(pretty_json(value)) == value


@given(st.dictionaries(st.text(alphabet="abc"), st.integers()))
def test_the_canonical_form_knows_no_order(value: dict[str, int]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical_json(backwards) == canonical_json(value)


@pytest.mark.fault("S3")
@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b'{"a":1}{"a":1}', b'{"a":1} x', b"\xff\xfe{}", b"\xef\xbb\xbf{}"),
        *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b'{"verdict":"fail","verdict":"pass"}'),
        *(b"[" * 100_000, b"9" * 5000, b"'a'", b'"\x00"', b"\xed\xa0\x80"),
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_what_is_not_strict_json_is_refused(raw: bytes) -> None:
    with pytest.raises(BadJson):
        parse_json(raw)


@pytest.mark.fault("S3")
def test_a_document_is_capped_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    path.write_bytes(b'"' + b"a" * 100 + b'"')

    with pytest.raises(BadJson, match="at most 50"):
        read_json(str(path), max_bytes=50)


@given(raw=st.binary(max_size=200))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    try:
        parse_json(raw)
    except BadJson:
        pass


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"loss": float("nan")})


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")

    write_atomic(str(path), b"new", 0o600)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["state.json"]


@pytest.fixture
def small_file_limit() -> object:
    """The system refuses to let a file of this process grow beyond 8 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.fault("C8")
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    request.getfixturevalue("small_file_limit")

    with pytest.raises(OSError, match="too large"):
        write_json(str(path), {"much": "more than eight bytes"})

    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["state.json"]


def test_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "blob").write_bytes(content)

    expected = hashlib.sha256(content).hexdigest()
    assert sha256_bytes(content) == sha256_file(str(tmp_path / "blob")) == expected


@pytest.mark.parametrize("write", [canonical_json, pretty_json])
def test_json_has_escapes_for_what_would_steer_a_terminal(write: Callable[[Any], bytes]) -> None:
    steering = "a\x1b]0;owned\x07\x7f\x9b2J\u202eb\u2066"

    raw = write({steering: steering})

    assert CONTROLS.search(raw.decode()) is None
    assert parse_json(raw) == {steering: steering}
