"""Locks that a killed git left: removed from a repository of ours, named in a user's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import git_locks
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream
from tests.support.waiting import until

Act = Callable[..., dict[str, Any]]

LOCKS = [
    "index.lock",
    "HEAD.lock",
    "config.lock",
    "packed-refs.lock",
    "shallow.lock",
    "refs/wf/target.lock",
    "refs/heads/main.lock",
    "objects/info/commit-graph.lock",
    "objects/maintenance.lock",
    "worktrees/c-1/index.lock",
]


@pytest.fixture
def checkout(act: Act, upstream: Upstream, settings: Settings) -> Act:
    """Checks out `upstream`."""
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")
    return lambda: act("checkout", keys={"REPO_URL": str(upstream.path)})


@pytest.fixture
def ours(checkout: Act, settings: Settings) -> Path:
    """The git directory of a clone of ours."""
    checkout()
    return Path(settings.repo, ".git")


def put(folder: Path, lock: str) -> Path:
    path = folder / lock
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_every_lock_of_a_killed_git_is_removed_from_a_clone_of_ours_and_named(
    ours: Path, checkout: Act, upstream: Upstream
) -> None:
    locks = [put(ours, lock) for lock in LOCKS]
    wanted = upstream.commit("train.py", "print('better')\n")

    result = checkout()

    assert result["git_sha"] == wanted
    assert not any(path.exists() for path in locks)
    for path in locks:
        assert any(str(path) in warning for warning in result["warnings"])


def test_a_clone_of_ours_that_was_cut_short_goes_on(
    checkout: Act, ours: Path, settings: Settings, upstream: Upstream
) -> None:
    for path in ours.parent.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    subprocess.run(["git", "init", "-q", settings.repo], check=True)
    put(ours, "config.lock")

    assert checkout()["git_sha"] == upstream.head


def test_a_lock_in_a_users_repository_is_named_with_the_way_to_remove_it(
    ours: Path, settings: Settings, tmp_path: Path
) -> None:
    (ours / "made.json").unlink()
    Path(settings.control, "made.json").unlink()
    Path(settings.control, "made.json.copy").unlink()
    lock = put(ours, "index.lock")

    with pytest.raises(Refusal, match="a git process left it") as refused:
        git_locks.release(settings, StepLog(str(tmp_path / "log")), "clone")

    assert refused.value.message.startswith(f"{lock} on the pod locks the repository")
    assert f"rm {lock}" in refused.value.remedy
    assert lock.exists()


def test_a_lock_is_left_to_a_git_that_is_at_work(
    ours: Path, settings: Settings, tmp_path: Path
) -> None:
    lock = put(ours, "index.lock")
    argv = ["git", "cat-file", "--batch"]
    with subprocess.Popen(argv, cwd=settings.repo, stdin=subprocess.PIPE) as at_work:
        until(lambda: git_locks._gits(settings.repo), "git is at work")
        with pytest.raises(Refusal, match=f"git process {at_work.pid} is at work"):
            git_locks.release(settings, StepLog(str(tmp_path / "log")), "clone", wait_s=0.1)
        assert lock.exists()
    git_locks.release(settings, StepLog(str(tmp_path / "log")), "clone", wait_s=0.1)
    assert not lock.exists()


def test_what_other_tools_keep_in_a_repository_is_no_lock_of_git(ours: Path, checkout: Act) -> None:
    kept = put(ours, "annex/content.lock")

    checkout()

    assert kept.exists()
