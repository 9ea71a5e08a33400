"""P50 loses and changes no file of the user, nor a folder that pytest-wf did not make."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import created_paths
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]


@pytest.mark.fault("F5")
def test_tracked_modifications_stop_it_and_are_listed(
    checkout: Act, upstream: Upstream, repo: Path
) -> None:
    for number in range(30):
        upstream.commit(f"f{number:02}.py", "")
    checkout()
    for number in range(25):
        (repo / f"f{number:02}.py").write_text("mine")

    with pytest.raises(Refusal, match=r"25 tracked files.*and 5 more") as refused:
        checkout()

    assert refused.value.kind == "dirty-checkout"
    assert refused.value.facts["modified"] == [f"f{n:02}.py" for n in range(20)]
    assert (repo / "f00.py").read_text() == "mine"


def test_forcing_throws_tracked_changes_away_and_keeps_untracked_files(
    checkout: Act, repo: Path
) -> None:
    checkout()
    (repo / "train.py").write_text("mine")
    (repo / "notes.txt").write_text("keep me")

    result = checkout(CHECKOUT_FORCE_CLEAN="1")

    assert result["dirty"] == []
    assert (repo / "train.py").read_text() == "print('training')\n"
    assert (repo / "notes.txt").read_text() == "keep me"


def test_forcing_throws_nothing_away_in_a_clone_of_somebody_else(
    checkout: Act, upstream: Upstream, repo: Path
) -> None:
    subprocess.run(["git", "clone", "-q", upstream.path, repo], check=True)
    assert checkout()["git_sha"] == upstream.head, "a clean one is used as it is"
    (repo / "train.py").write_text("mine")

    with pytest.raises(Refusal, match="pytest-wf did not make it") as refused:
        checkout(CHECKOUT_FORCE_CLEAN="1")

    assert "point OPS_REMOTE_REPO elsewhere" in refused.value.remedy
    assert (repo / "train.py").read_text() == "mine"


@pytest.mark.fault("F5")
@pytest.mark.parametrize("is_ignored", [False, True])
def test_an_untracked_file_in_the_way_stops_it_and_stays(
    checkout: Act, upstream: Upstream, repo: Path, is_ignored: bool
) -> None:
    checkout()
    (repo / "new.py").write_text("mine")
    if is_ignored:
        (repo / ".git" / "info" / "exclude").write_text("new.py\n")
    upstream.commit("new.py", "theirs")

    with pytest.raises(Refusal, match="cannot be checked out"):
        checkout()

    assert (repo / "new.py").read_text() == "mine"


def test_a_directory_that_is_no_clone_is_left_alone(checkout: Act, repo: Path) -> None:
    other = repo / "thesis.tex"
    other.parent.mkdir(parents=True)
    other.write_text("years of work")

    with pytest.raises(Refusal, match="a directory with other files") as refused:
        checkout()

    assert refused.value.kind == "clone"
    assert os.listdir(repo) == ["thesis.tex"]


def test_a_clone_of_something_else_is_left_alone(checkout: Act, tmp_path: Path) -> None:
    checkout()

    with pytest.raises(Refusal, match="holds /"):
        checkout(REPO_URL=str(tmp_path / "another"))


def test_a_checkout_that_was_cut_short_is_gone_on_with(
    checkout: Act, settings: Settings, repo: Path, upstream: Upstream
) -> None:
    created_paths.directory(settings, str(repo))
    subprocess.run(["git", "init", "-q", repo], check=True)
    (repo / ".git" / "wf-venv-unfinished").touch()
    (repo / ".venv" / "bin").mkdir(parents=True)
    (repo / ".venv" / "pyvenv.cfg").touch()

    result = checkout()

    assert result["git_sha"] == upstream.head
    subprocess.run([result["venv_python"], "-c", ""], check=True)


def test_a_repository_without_commits_that_no_checkout_made_is_left_as_it_is(
    checkout: Act, repo: Path
) -> None:
    subprocess.run(["git", "init", "-q", repo], check=True)
    config = repo / ".git" / "config"
    before = config.read_bytes()
    with pytest.raises(Refusal, match="no origin"):
        checkout()
    assert config.read_bytes() == before


def test_a_link_in_the_place_of_the_campaigns_trees_is_not_followed(
    checkout: Act, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (upstream.path / ".wf-trees").symlink_to(tmp_path / "elsewhere")
    upstream.git("add", ".wf-trees")
    upstream.git("commit", "-q", "-m", "Link")

    with pytest.raises(Refusal, match=r"\.wf-trees exists, and pytest-wf did not make it"):
        checkout()

    assert os.listdir(tmp_path / "elsewhere") == []
