"""Changes between the commits of two flows, if the repository on this machine has both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_wf.project.local_git import git_output
from pytest_wf.report.folder import Folder
from pytest_wf.wire.safe_text import readable

MAX_COMMITS, MAX_FILES = 50, 200
_TIMEOUT_S = 20
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_PARENTS = 6


@dataclass(frozen=True)
class CodeDifference:
    """The commits of two flows, and the changes between them."""

    before: str
    after: str
    #: Subjects of commits that only the later flow has, and that only the earlier one has.
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    #: Changed files with git's letter, such as 'M train.py'.
    files: tuple[str, ...] = ()
    #: Why the lists are empty or cut; empty if they are complete.
    note: str = ""


def code_difference(first: Folder, last: Folder) -> CodeDifference | None:
    """The difference in code; None if both flows ran one commit, or one is unknown."""
    before, after = (str(folder.last("git_sha") or "") for folder in (first, last))
    if not _SHA.fullmatch(before) or not _SHA.fullmatch(after) or before == after:
        return None
    for root in _repositories(last):
        if all(
            _git(root, "cat-file", "-e", f"{sha}^{{commit}}") is not None for sha in (before, after)
        ):
            return _between(root, before, after)
    note = "No repository on this machine has both commits, so what changed is not shown."
    return CodeDifference(before, after, note=note)


def _between(root: Path, before: str, after: str) -> CodeDifference:
    log = ("log", "--no-show-signature", "--format=%h %s", f"--max-count={MAX_COMMITS + 1}")
    added = _lines(_git(root, *log, f"{before}..{after}"))
    removed = _lines(_git(root, *log, f"{after}..{before}"))
    words = (
        "diff",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        "--name-status",
        before,
        after,
    )
    files = _lines(_git(root, *words))
    is_cut = max(len(added), len(removed)) > MAX_COMMITS or len(files) > MAX_FILES
    note = f"At most {MAX_COMMITS} commits and {MAX_FILES} files are listed." if is_cut else ""
    return CodeDifference(
        before,
        after,
        added[:MAX_COMMITS],
        removed[:MAX_COMMITS],
        tuple(line.replace("\t", " ") for line in files[:MAX_FILES]),
        note,
    )


def _repositories(folder: Folder) -> Iterator[Path]:
    """Possible repositories: the flow's project, or the folders around its folder."""
    project = folder.start.project_dir if folder.start is not None else ""
    for place in ([Path(project)] if project else []) + list(folder.path.parents)[:_MAX_PARENTS]:
        if place.is_dir():
            yield place


def _lines(text: str | None) -> tuple[str, ...]:
    return tuple(map(readable, (text or "").splitlines()))


def _git(root: Path, *words: str) -> str | None:
    """The output of git; None if there is none."""
    return git_output(root, "-c", "core.fsmonitor=false", *words, timeout_s=_TIMEOUT_S)
