"""The steps after `wf init`: the commands from a new config to a first result."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_wf.project.local_git import git_output

_DEADLINE_S = 30


def next_steps(folder: Path, written: Sequence[Path]) -> Iterator[str]:
    """Lines with the next steps in `folder`, where `wf init` wrote the files `written`.

    They depend on git's state of the folder: the flow trains a commit.
    """
    is_here = folder.resolve() == Path.cwd()
    yield "next:"
    if not is_here:
        yield f"  cd {folder}"
    yield "  review flows/workflow.env (the command of a row) and flows/sweep.csv (the rows)"
    commit = 'git commit -m "Add a flow"'
    if _git(folder, "rev-parse", "--is-inside-work-tree") is None:
        yield f"  git init && git add --all && {commit}   # this is not a git repository yet"
    elif _git(folder, "rev-parse", "--verify", "HEAD") is None:
        yield f"  git add --all && {commit}   # there is no commit yet, and the flow trains one"
    else:
        paths = sorted(os.path.relpath(path, folder).split(os.sep)[0] for path in written)
        yield f"  git add {' '.join(dict.fromkeys(paths))} && {commit}"
    yield "  wf doctor                   # ready, or the problems to correct first"
    yield "  pytest flows/ --wf-flow --wf-wait=true --wf-fetch=all"
    if not _git(folder, "remote"):
        yield "no remote is needed: REPO_URL=. sends your last commit to the pod"


def _git(folder: Path, *words: str) -> str | None:
    """The output of a git command; None if it fails or git is not installed."""
    told = git_output(folder, *words, timeout_s=_DEADLINE_S)
    return None if told is None else told.strip()
