"""Whole folders are removed, many files at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_wf.agent.control.removal import remove_tree
from tests.support.deep_folder import make_file_below


def test_a_folder_goes_with_many_files_and_what_links_lead_to_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "years").mkdir(parents=True)
    folder = tmp_path / "folder"
    for part in range(3):
        (folder / f"{part}" / "empty").mkdir(parents=True)
        for number in range(500):
            (folder / f"{part}" / f"{number}").touch()
    (folder / "link").symlink_to(theirs)
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")

    remove_tree(str(folder))
    assert sorted(tmp_path.rglob("*")) == [theirs, theirs / "years"]


@pytest.mark.parametrize(("name", "levels"), [("d", 1100), ("d" * 200, 40)])
def test_a_folder_deeper_than_python_recurses_or_a_path_names_is_removed(
    tmp_path: Path, name: str, levels: int
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make_file_below(folder, name, levels)

    remove_tree(str(folder))
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no /proc")
def test_a_folder_that_cannot_be_removed_is_an_error() -> None:
    with pytest.raises(OSError, match="ermi"):
        remove_tree("/proc/self/fd")
