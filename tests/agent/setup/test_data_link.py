"""DATA_LINK: the data set in the repository, by links of ours alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import data_link, worktree
from pytest_wf.agent.setup.git import Repository
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support import damage
from tests.support.own_pip import put_pip
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]
LINK = "data/fineweb10B"
TRAIN, VAL = "fineweb_train_000001.bin", "fineweb_val_000000.bin"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of two shards, on the pod."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in (TRAIN, VAL):
        (folder / name).write_text(f"tokens of {name}")
    return folder


@pytest.fixture
def checkout(act: Act, upstream: Upstream, settings: Settings, data: Path) -> Act:
    """Checks out with the data linked at LINK, and with further keys."""
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")

    def run(**keys: str) -> dict[str, Any]:
        known = {"REPO_URL": str(upstream.path), "DATA_DIR": str(data), "DATA_LINK": LINK}
        return act("checkout", keys={**known, **keys})

    return run


@pytest.fixture
def folder(settings: Settings, upstream: Upstream) -> Path:
    """The folder of the repository at LINK, which has a file of its own."""
    upstream.commit(f"{LINK}/download.py", "print('downloading')\n")
    return Path(settings.repo, LINK)


def status(settings: Settings) -> str:
    argv = ["git", "-C", settings.repo, "status", "--porcelain"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_the_data_directory_is_linked_into_the_repository(
    checkout: Act, settings: Settings, tmp_path: Path
) -> None:
    link = Path(settings.repo) / "data" / "fineweb10B"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        result = checkout(DATA_DIR=str(tmp_path / name), DATA_LINK="data/fineweb10B")

        assert os.readlink(link) == str(tmp_path / name)
        assert result["dirty"] == []
    status = subprocess.run(
        ["git", "-C", settings.repo, "status", "--porcelain"], capture_output=True, check=True
    )
    assert status.stdout == b""


def test_a_link_of_somebody_else_is_not_turned_to_the_data(
    checkout: Act, settings: Settings, tmp_path: Path
) -> None:
    checkout(DATA_LINK="")
    (Path(settings.repo) / "data").symlink_to(tmp_path / "mine")

    with pytest.raises(Refusal, match="pytest-wf did not make it"):
        checkout(DATA_DIR="/data", DATA_LINK="data")

    assert os.readlink(Path(settings.repo) / "data") == str(tmp_path / "mine")


def test_the_data_link_replaces_no_file_and_leaves_no_repository(
    checkout: Act, tmp_path: Path, upstream: Upstream
) -> None:
    (upstream.path / "out").symlink_to(tmp_path)
    upstream.git("add", "out")
    upstream.git("commit", "-q", "-m", "Link")

    for link in ("train.py", "out/x", "out", "../x", f"{tmp_path}/x"):
        with pytest.raises(Refusal, match="cannot be made") as refused:
            checkout(DATA_DIR="/data", DATA_LINK=link)
        assert refused.value.kind == "data"
    assert not (tmp_path / "x").exists()


def test_each_entry_is_linked_into_a_folder_of_the_repository(
    checkout: Act, settings: Settings, data: Path, folder: Path
) -> None:
    (data / "odd [name]#!").touch()
    for _ in range(2):
        result = checkout()

        assert sorted(os.listdir(folder)) == sorted(["download.py", "odd [name]#!", TRAIN, VAL])
        assert os.readlink(folder / TRAIN) == str(data / TRAIN)
        assert result["data_links"] == {"linked": 3, "hidden": []}
        assert result["dirty"] == []
        assert status(settings) == ""


def test_a_tracked_file_with_the_name_of_an_entry_stays_and_is_named(
    checkout: Act, data: Path, folder: Path
) -> None:
    (data / "download.py").write_text("print('another one')\n")

    result = checkout()

    assert (folder / "download.py").read_text() == "print('downloading')\n"
    assert not (folder / "download.py").is_symlink()
    assert result["data_links"] == {"linked": 2, "hidden": ["download.py"]}


def test_an_entry_that_the_repository_has_with_the_same_content_is_not_missed(
    checkout: Act, data: Path, folder: Path
) -> None:
    checkout(DATA_DIR="")
    (data / "download.py").write_bytes((folder / "download.py").read_bytes())
    assert checkout()["data_links"] == {"linked": 2, "hidden": []}
    assert not (folder / "download.py").is_symlink()


def test_links_follow_what_is_in_the_data_directory(
    checkout: Act, data: Path, folder: Path, tmp_path: Path
) -> None:
    checkout()
    (folder / "mine.bin").symlink_to(data / "gone.bin")
    (data / VAL).unlink()
    (data / "fineweb_val_000009.bin").touch()

    checkout()

    names = ["download.py", TRAIN, "fineweb_val_000009.bin", "mine.bin"]
    assert sorted(os.listdir(folder)) == names
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / TRAIN).touch()
    checkout(DATA_DIR=str(tmp_path / "other"))
    assert sorted(os.listdir(folder)) == ["download.py", TRAIN, "mine.bin"]
    assert os.readlink(folder / TRAIN) == str(tmp_path / "other" / TRAIN)
    checkout(DATA_LINK="")
    assert sorted(os.listdir(folder)) == ["download.py", "mine.bin"]


def test_what_is_in_the_folder_by_other_hands_stays(
    checkout: Act, settings: Settings, data: Path, folder: Path, tmp_path: Path
) -> None:
    checkout(DATA_DIR="")
    (folder / TRAIN).write_text("my own shard")
    (folder / VAL).symlink_to(data / VAL)

    assert checkout()["data_links"] == {"linked": 0, "hidden": [TRAIN, VAL]}

    (data / VAL).unlink()
    checkout()
    assert (folder / TRAIN).read_text() == "my own shard"
    assert (folder / VAL).is_symlink(), "this product did not make that link"


def test_what_a_command_brings_into_the_data_directory_is_linked_too(
    checkout: Act, settings: Settings, folder: Path
) -> None:
    checkout()
    put_pip(settings)

    checkout(CHECKOUT_POST_CMD='touch "$DATA_DIR/new.bin"')

    assert (folder / "new.bin").is_symlink()


def test_links_give_way_to_a_commit_with_files_of_their_names(
    checkout: Act, upstream: Upstream, settings: Settings, data: Path
) -> None:
    checkout()
    folder = Path(settings.repo, LINK)
    assert folder.is_symlink()
    upstream.commit(f"{LINK}/download.py", "")
    assert checkout()["data_links"]["linked"] == 2
    upstream.commit(f"{LINK}/{TRAIN}", "a small shard")

    assert checkout()["data_links"] == {"linked": 1, "hidden": [TRAIN]}

    assert (folder / TRAIN).read_text() == "a small shard"
    upstream.git("rm", "-q", "-r", LINK)
    upstream.git("commit", "-q", "-m", "Remove the folder")
    checkout()
    assert os.readlink(folder) == str(data)


def test_a_campaigns_tree_has_the_links_and_those_of_later_entries(
    checkout: Act, settings: Settings, data: Path, folder: Path
) -> None:
    sha = checkout()["git_sha"]
    keys = Settings({**settings, "DATA_DIR": str(data), "DATA_LINK": LINK})
    log = StepLog(os.devnull)

    tree = Path(worktree.make(keys, log, "c-1", sha))

    assert os.readlink(tree / LINK / TRAIN) == str(data / TRAIN)
    assert (tree / LINK / "download.py").is_file()
    (data / "later.bin").touch()
    (data / VAL).unlink()
    assert worktree.make(keys, log, "c-1", sha) == str(tree)
    assert sorted(os.listdir(tree / LINK)) == ["download.py", TRAIN, "later.bin"]
    assert Repository(str(tree), log).modified() == []
    status = ["git", "-C", str(tree), "status", "--porcelain"]
    assert ".bin" not in subprocess.run(status, capture_output=True, text=True).stdout


def test_a_tree_whose_folder_is_the_checkouts_own_needs_no_links(
    checkout: Act, settings: Settings, data: Path
) -> None:
    checkout(DATA_DIR="")
    mine = Path(settings.repo, LINK, "mine.bin")
    mine.parent.mkdir(parents=True)
    mine.touch()
    sha = checkout()["git_sha"]
    keys = Settings({**settings, "DATA_DIR": str(data), "DATA_LINK": LINK})

    tree = Path(worktree.make(keys, StepLog(os.devnull), "c-1", sha))

    assert {TRAIN, VAL, "mine.bin"} <= set(os.listdir(tree / LINK))


def test_data_that_is_in_the_repository_needs_no_link(
    checkout: Act, settings: Settings, upstream: Upstream
) -> None:
    place = Path(settings.repo, LINK)
    assert checkout(DATA_DIR=str(place))["data_links"] == {"linked": 0, "hidden": []}
    assert not os.path.lexists(place)
    upstream.commit(f"{LINK}/download.py", "")

    assert checkout(DATA_DIR=str(place))["data_links"] == {"linked": 0, "hidden": []}

    assert os.listdir(place) == ["download.py"]


def test_a_folder_of_too_many_entries_is_refused(
    checkout: Act, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_link, "_MOST_ENTRIES", 1)
    with pytest.raises(Refusal, match="DATA_DIR has 2 entries") as refused:
        checkout()
    assert refused.value.kind == "data"


@pytest.mark.parametrize("in_folder", [False, True])
@pytest.mark.parametrize("kind", ["truncate", "empty", "nul", "garbage", "other_json"])
def test_links_whose_record_is_damaged_are_known_by_what_they_lead_to(
    checkout: Act, settings: Settings, request: pytest.FixtureRequest, in_folder: bool, kind: str
) -> None:
    if in_folder:
        request.getfixturevalue("folder")
    link = Path(settings.repo, LINK, TRAIN) if in_folder else Path(settings.repo, LINK)
    checkout()
    record = Path(settings.repo, ".git", "wf-data-links.json")
    damage.KINDS[kind](record)

    assert checkout()["dirty"] == []
    assert link.is_symlink()
    checkout(DATA_LINK="")
    assert not link.is_symlink()


def test_data_is_not_linked_into_itself(
    checkout: Act, settings: Settings, upstream: Upstream
) -> None:
    upstream.commit("data/notes.md", "shards go here\n")
    with pytest.raises(Refusal, match="it is in DATA_DIR itself"):
        checkout(DATA_DIR=str(Path(settings.repo, "data")))
    assert not Path(settings.repo, LINK).is_symlink()
