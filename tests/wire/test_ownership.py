"""What this product did not make is never replaced."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_wf.wire.ownership import (
    CHECKLIST,
    MARKER,
    NotOurs,
    is_foreign_file,
    is_foreign_folder,
    make_folder,
    replace_file,
)
from tests.support import damage

#: Damage after which a folder's record still says that it is ours, or is not there.
UNHARMED = {"flip_bit", "missing"}
OURS = CHECKLIST + b"\n- [ ] P00\n"


def test_a_file_of_ours_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.md"
    for content in (OURS, OURS + b"more\n"):
        replace_file(str(path), content, CHECKLIST, 0o600)
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (content, 0o600)


def test_no_file_is_written_that_would_not_be_known_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not begin"):
        replace_file(str(tmp_path / "c.md"), b"notes\n", CHECKLIST)


def _file(path: Path) -> None:
    path.write_text("# My notes\n")


def _empty(path: Path) -> None:
    path.touch()


def _link(path: Path) -> None:
    (path.parent / "real.md").write_bytes(OURS)
    path.symlink_to("real.md")


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("made", [_file, _empty, _link, _dangling_link, _folder, _pipe])
def test_whatever_else_is_there_stays_and_is_named(tmp_path: Path, made: object) -> None:
    path = tmp_path / "c.md"
    assert callable(made)
    made(path)
    before = path.lstat()
    assert is_foreign_file(str(path), CHECKLIST)
    why = "does not say who made it: it is empty" if made is _empty else "pytest-wf did not make it"
    with pytest.raises(NotOurs, match=f"{path} exists, and {why}"):
        replace_file(str(path), OURS, CHECKLIST)
    assert (path.lstat().st_ino, path.lstat().st_size) == (before.st_ino, before.st_size)
    assert sorted(os.listdir(tmp_path)) in (["c.md"], ["c.md", "real.md"])


def test_a_folder_of_ours_says_what_made_it_and_for_which_project(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(str(folder), "a run", "/p")
    record = json.loads((folder / MARKER).read_text())
    assert record == {"schema": 1, "made_by": "pytest-wf", "what": "a run", "project": "/p"}
    (folder / "x").touch()
    make_folder(str(folder), "another")
    assert json.loads((folder / MARKER).read_text()) == record


@pytest.mark.parametrize("kind", [kind for kind in damage.KINDS if kind not in UNHARMED])
def test_a_folder_whose_record_is_damaged_is_not_said_to_be_of_someone_else(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "a"
    make_folder(str(folder), "run one of c-1")
    damage.KINDS[kind](folder / "made.json")
    with pytest.raises(NotOurs, match=r"made\.json, which says who made it, cannot be read"):
        make_folder(str(folder), "run one of c-1")


def test_an_empty_folder_may_become_ours_and_no_other(tmp_path: Path) -> None:
    make_folder(str(tmp_path), "a run")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "x").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name in ("theirs", "link", "file"):
        assert is_foreign_folder(str(tmp_path / name))
        with pytest.raises(NotOurs):
            make_folder(str(tmp_path / name), "a run")
    assert os.listdir(tmp_path / "theirs") == ["x"]


def test_a_folder_whose_maker_was_killed_while_it_wrote_the_record_becomes_ours(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / f".{MARKER}.0123456789ab").write_text("{")
    make_folder(str(folder), "run one")
    assert [path.name for path in folder.iterdir()] == [MARKER]


def test_half_a_record_beside_anything_else_makes_no_folder_ours(tmp_path: Path) -> None:
    (tmp_path / f".{MARKER}.0123456789ab").touch()
    (tmp_path / "notes.md").touch()
    with pytest.raises(NotOurs):
        make_folder(str(tmp_path), "run one")


def test_threads_that_make_one_folder_at_once_all_find_it_ours(tmp_path: Path) -> None:
    folders = [str(tmp_path / str(number)) for number in range(20)]
    with ThreadPoolExecutor(8) as threads:
        for folder in folders:
            made = [threads.submit(make_folder, folder, "runs") for _ in range(8)]
            assert [one.result() for one in made] == [None] * 8
    assert [os.listdir(folder) for folder in folders] == [[MARKER]] * 20
