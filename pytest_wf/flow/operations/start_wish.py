"""The arguments of a start about existing runs on the pod: for P60 and `wf doctor`."""

from __future__ import annotations

from typing import Any

from pytest_wf.agent.setup.same_code import ReadHere
from pytest_wf.flow.operations.git_bundle import is_same_code, read_here
from pytest_wf.flow.operations.unfetched import runs_on
from pytest_wf.flow.readiness.commit_checks import known_commit
from pytest_wf.flow.session import PodSession

#: The most commits of earlier runs that are compared with the requested one.
_MOST_COMMITS = 100


def wish_of(session: PodSession) -> dict[str, Any]:
    """The arguments of a start, and of the question what it would do, except its rows."""
    config = session.config
    paths = read_here(session.project)
    now = known_commit(session.project).lower()
    return {
        "adopt": config.sweep_adopt,
        "force": config.sweep_force,
        "retrain": list(config.sweep_retrain),
        "dry_run": config.sweep_dry_run,
        "read_here": list(paths.paths),
        "same_code": _same_code(session, now, paths),
        "same_code_as": now,
    }


def _same_code(session: PodSession, now: str, paths: ReadHere) -> list[str]:
    """Commits of runs on the pod with the same code as `now`, by this machine's repository."""
    if not now or not paths.paths:
        return []
    trained = session.trained_commits
    if trained is None:
        trained = frozenset(run.git_sha for run in runs_on(session))
    commits = sorted(trained - {"", now})[:_MOST_COMMITS]
    root = session.project.root
    return [sha for sha in commits if is_same_code(root, sha, now, paths)]
