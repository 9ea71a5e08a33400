"""The training repository on the pod, as git knows it."""

from __future__ import annotations

from pathlib import Path

from pytest_wf.agent.setup.git import Repository
from pytest_wf.agent.setup.logged_step import StepLog
from tests.support.repository import Upstream


def test_asking_for_a_path_that_git_does_not_track_shows_no_hint_of_git(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.commit("data/books.txt", "books")
    log = StepLog(str(tmp_path / "log"))
    repository = Repository(str(upstream.path), log)
    assert not repository.is_tracked("absent")
    assert "git add" not in log.last_line()
    assert repository.is_tracked("train.py")
    assert repository.is_tracked("data")
