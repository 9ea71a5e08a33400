"""Repositories of other users on the pod, with git as it is and as Debian 11 has it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import git_trust
from pytest_wf.wire import fsm
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]

OTHER = 54321

#: Git that trusts nothing by its command line, as it was before 2.37.
_OLD_GIT = """\
#!/bin/sh
for word; do
    shift
    case $word in safe.directory=*) word=wf.ignored=1 ;; esac
    set -- "$@" "$word"
done
exec {git} "$@"
"""


@pytest.fixture
def old_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put such a git first on the PATH."""
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    shim.write_text(_OLD_GIT.format(git=shutil.which("git")))
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")


def give_away(folder: Path) -> None:
    """Make everything in `folder` another user's."""
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    subprocess.run(["chown", "-R", str(OTHER), str(folder)], check=True)


@pytest.mark.usefixtures("old_git")
def test_a_clone_that_is_another_users_is_checked_out_again_by_an_old_git(
    act: Act, upstream: Upstream, settings: Settings
) -> None:
    keys = {"REPO_URL": str(upstream.path)}
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")
    act("checkout", keys=keys)
    newer = upstream.commit("train.py", "print('more')\n")
    give_away(Path(settings.repo))
    assert act("checkout", keys=keys)["git_sha"] == newer


@pytest.mark.usefixtures("old_git")
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_local_repository_of_another_user_can_be_cloned(
    act: Act, upstream: Upstream, settings: Settings, scheme: str
) -> None:
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")
    head = upstream.head
    give_away(upstream.path)
    assert act("checkout", keys={"REPO_URL": f"{scheme}{upstream.path}"})["git_sha"] == head


def test_the_users_own_configuration_of_git_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / 'odd "name"'))
    theirs = tmp_path / 'odd "name"' / "git" / "config"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("[wf]\nmine = yes\n")
    volume = tmp_path / "volume"
    volume.mkdir()
    give_away(volume)
    env = {**os.environ, **git_trust.of_others(str(volume))}
    asked = ["git", "config", "wf.mine"]
    assert subprocess.run(asked, env=env, capture_output=True, check=True).stdout == b"yes\n"


def test_where_all_is_this_users_nothing_is_set(tmp_path: Path) -> None:
    assert git_trust.of_others(str(tmp_path), "https://example.com/repo.git") == {}
