"""Control files: each has a second copy, and damage is named and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.control import control_files
from pytest_wf.wire.messages import Refusal
from tests.support import damage

BODY = {"schema": 1, "name": "campaign", "rows": [1, 2]}

every_damage = pytest.mark.parametrize("kind", damage.KINDS)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "file.json"
    control_files.write(str(path), BODY)
    return path


def read(path: Path) -> dict[str, Any] | None:
    return control_files.parsed(str(path), lambda found: found, 1)


def test_what_was_written_is_read(written: Path) -> None:
    assert read(written) == BODY
    assert control_files.findings() == []


def test_a_file_that_was_never_written_is_absent(tmp_path: Path) -> None:
    assert read(tmp_path / "file.json") is None


@pytest.mark.fault("S4")
@every_damage
def test_a_damaged_file_is_read_from_its_copy_which_is_said(written: Path, kind: str) -> None:
    damage.KINDS[kind](written)

    assert read(written) == BODY
    (finding,) = control_files.findings()
    assert finding.startswith(f"{written} on the pod cannot be read (")


@every_damage
def test_a_damaged_copy_hides_no_file(written: Path, kind: str) -> None:
    damage.KINDS[kind](Path(f"{written}.copy"))

    assert read(written) == BODY


@pytest.mark.fault("S4")
@every_damage
def test_where_both_are_damaged_the_file_is_named_and_never_absent(
    written: Path, kind: str
) -> None:
    damage.KINDS[kind](Path(f"{written}.copy"))
    damage.empty(written)

    with pytest.raises(Refusal) as refused:
        read(written)
    assert refused.value.kind == "state-unreadable"
    assert str(written) in refused.value.message


@every_damage
def test_what_is_damaged_is_moved_aside_whole_before_a_new_file_takes_its_place(
    written: Path, kind: str
) -> None:
    damage.KINDS[kind](written)
    was_there = written.is_symlink() or written.exists()
    read(written)

    control_files.write(str(written), {**BODY, "name": "next"})

    assert read(written) == {**BODY, "name": "next"}
    aside = list(written.parent.glob("file.json.unreadable-*"))
    assert len(aside) == was_there
    if kind == "directory":
        assert (aside[0] / "kept").read_text() == "of a user"
    if kind == "garbage":
        assert aside[0].read_bytes() == bytes(range(256)) * 4


@pytest.mark.fault("S5")
def test_a_file_of_another_version_is_refused_whatever_its_copy_says(written: Path) -> None:
    control_files.write(str(written), {**BODY, "schema": 2})
    raw = written.read_bytes()
    Path(f"{written}.copy").write_text(json.dumps(BODY))

    with pytest.raises(Refusal, match="incompatible version"):
        read(written)
    assert written.read_bytes() == raw


def test_a_file_without_a_digest_is_one_of_an_earlier_version(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(BODY))

    assert read(path) == BODY


def test_a_copy_that_cannot_be_written_leaves_none_that_says_something_older(
    written: Path,
) -> None:
    def refuse_copies(path: str, content: bytes) -> None:
        if path.endswith(".copy"):
            raise OSError(28, "No space left on device", path)
        Path(path).write_bytes(content)

    control_files.write(str(written), {**BODY, "name": "next"}, refuse_copies)

    assert not Path(f"{written}.copy").exists()


def test_a_writer_that_is_killed_leaves_no_copy_that_is_older_than_the_file(
    written: Path,
) -> None:
    def killed(path: str, content: bytes) -> None:
        Path(path).write_bytes(content)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        control_files.write(str(written), {**BODY, "name": "next"}, killed)

    assert read(written) == BODY
    damage.truncate(written)
    assert read(written) == {**BODY, "name": "next"}


def test_a_write_that_failed_leaves_no_copy_that_says_that_it_was_done(written: Path) -> None:
    def refuse_files(path: str, content: bytes) -> None:
        if not path.endswith(".copy"):
            raise OSError(28, "No space left on device", path)
        Path(path).write_bytes(content)

    with pytest.raises(OSError, match="No space"):
        control_files.write(str(written), {**BODY, "name": "next"}, refuse_files)

    assert read(written) == BODY
    assert not Path(f"{written}.copy").exists()


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_is_taken_for_the_truth(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "file.json"
    control_files.write(str(path), BODY)
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= 1 << bit
    path.write_bytes(raw)

    found = read(path)
    # a flip in the digest's own key leaves the content as it was
    assert found is not None
    assert {key: found[key] for key in BODY} == BODY
