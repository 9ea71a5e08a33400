"""Data that git ignores: its folders, and the one that DATA_LINK names."""

from __future__ import annotations

import pytest

from pytest_wf.project.ignored_data import folder_to_link, folders_of


@pytest.mark.parametrize(
    ("paths", "folders"),
    [
        ([], []),
        (["data/"], ["data"]),
        (["data/a/train.bin", "data/a/val.bin"], ["data/a"]),
        (["data/a.bin", "data/b/"], ["data"]),
        (["data/a/x", "data/ab/x"], ["data/a", "data/ab"]),
    ],
)
def test_the_folders_of_ignored_data_contain_no_other(paths: list[str], folders: list[str]) -> None:
    assert folders_of(paths) == folders


@pytest.mark.parametrize(
    ("folders", "read", "linked"),
    [
        ([], "", ""),
        ([], "data/a", ""),
        (["data"], "", "data"),
        (["data/a", "data/b"], "", ""),
        (["data/a", "data/b"], "data/b", "data/b"),
        (["data"], "data/b", "data"),
        (["data/b/raw", "data/c"], "data/b", "data/b"),
        (["data/a"], "data/ab", ""),
    ],
)
def test_the_folder_to_link_is_what_the_trainer_reads_or_the_only_one(
    folders: list[str], read: str, linked: str
) -> None:
    assert folder_to_link(folders, read) == linked
