"""Reading a folder that may have come from anywhere."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pytest_wf.evidence.folder import (
    Documents,
    NotRegular,
    digest_of,
    files_of,
    read_regular,
    text_of,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 1000 bytes."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * 1000)
    return path


def test_a_file_has_its_digest_and_its_size(file: Path) -> None:
    assert digest_of(file) == (hashlib.sha256(b"x" * 1000).hexdigest(), 1000)
    assert digest_of(file, size=1000) == digest_of(file)
    assert digest_of(file, size=999) == ("", 1000)
    assert digest_of(file, size=None) == ("", 1000)


def test_a_file_is_read_up_to_a_limit(file: Path) -> None:
    assert len(read_regular(file, 1000)) == 1000
    with pytest.raises(OSError, match="it has more than 0 MiB"):
        read_regular(file, 999)


def test_a_link_a_pipe_and_a_folder_are_no_files_and_one_that_is_absent_is_said_so(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(NotRegular):
            read_regular(tmp_path / name)
    assert digest_of(tmp_path / "link", follow=True)[1] == 1000
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "absent")


def test_every_file_is_listed_by_its_name_and_no_link_is_followed(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "sub" / "empty").mkdir(parents=True)
    (tmp_path / "sub" / "b").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    found = files_of(tmp_path)
    assert found == {name: tmp_path / name for name in ("a", "link", "sub/b")}
    assert list(found) == sorted(found)
    with pytest.raises(FileNotFoundError):
        files_of(tmp_path / "absent")


def test_documents_are_those_whose_digest_is_the_one_that_was_seen(
    file: Path, tmp_path: Path
) -> None:
    digest = digest_of(file)[0]
    documents = Documents(dict.fromkeys("ab", file), {"a": digest, "b": "e" * 64})
    assert (len(documents), list(documents)) == (2, ["a", "b"])
    assert documents.get("a") == b"x" * 1000
    assert documents.get("b") is None


def test_small_documents_are_kept_and_large_ones_are_read_again(tmp_path: Path) -> None:
    paths = {"small": tmp_path / "small", "large": tmp_path / "large"}
    paths["small"].write_bytes(b"x")
    paths["large"].write_bytes(b"x" * (2**20 + 1))
    documents = Documents(paths, {name: digest_of(path)[0] for name, path in paths.items()})
    assert [len(raw) for raw in documents.values()] == [1, 2**20 + 1]
    for path in paths.values():
        path.unlink()
    assert documents.get("small") == b"x"
    assert documents.get("large") is None


def test_a_field_that_is_no_text_is_empty() -> None:
    assert [text_of({"a": value}, "a") for value in ("x", 3, None)] == ["x", "", ""]
    assert text_of({}, "a") == ""
