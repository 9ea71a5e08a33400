"""A git bundle of this checkout, which a pod gets for ``REPO_URL=.``."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_wf.errors import OperationFailed
from pytest_wf.wire import environment
from pytest_wf.wire.files import sha256_file

_GIT_TIMEOUT_S = 300


@dataclass(frozen=True)
class Bundle:
    """One commit with its history, packed into a file."""

    path: Path
    git_sha: str
    sha256: str
    bytes: int
    #: Tracked files with uncommitted changes, which the bundle does not have.
    uncommitted: tuple[str, ...] = ()
    #: Those of them that runs may read: all but flows/, which is read on this machine.
    left_behind: tuple[str, ...] = ()


@contextmanager
def bundled(root: Path) -> Iterator[Bundle]:
    """Bundle the commit that is checked out in `root`; the file exists within the block.

    Raises OperationFailed('clone') where `root` is in no repository, has no commit yet, or
    is a shallow clone, which git cannot pack whole.
    """
    git_sha = commit_here(root)
    if _git(root, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise OperationFailed(
            "clone",
            f"REPO_URL is '.', and {root} is a shallow clone, which git cannot pack.",
            "Run `git fetch --unshallow` there first.",
        )
    status = _git(root, "status", "--porcelain", "--untracked-files=no", "--no-renames", "-z")
    changed = tuple(line[3:] for line in status.split("\0") if line)
    flows = _git(root, "rev-parse", "--show-prefix").rstrip("\n") + "flows/"
    with tempfile.TemporaryDirectory(prefix="wf-bundle-") as folder:
        path = Path(folder) / "repo.bundle"
        _git(root, "bundle", "create", "--quiet", str(path), "HEAD")
        yield Bundle(
            path,
            git_sha,
            sha256_file(str(path)),
            path.stat().st_size,
            changed,
            tuple(name for name in changed if not name.startswith(flows)),
        )


def commit_here(root: Path) -> str:
    """The commit that is checked out in `root`. Raises OperationFailed('clone')."""
    return _git(root, "rev-parse", "--verify", "HEAD^{commit}").strip()


def changed_files(root: Path, before: str, now: str) -> list[str] | None:
    """Files, relative to `root`, that differ between two commits; None where one is not here."""
    try:
        found = _git(root, "diff", "--name-only", "--no-renames", "-z", before, now)
        inside = _git(root, "rev-parse", "--show-prefix").rstrip("\n")
    except OperationFailed:
        return None
    names = [name for name in found.split("\0") if name]
    return [os.path.relpath(name, inside or ".") for name in names]


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_GIT_TIMEOUT_S,
            env=environment.of_git(),
        )
    except FileNotFoundError:
        raise OperationFailed(
            "clone",
            "REPO_URL is '.', and this machine has no git to pack the checkout with.",
            "Install git here, or set REPO_URL to an address that the pod can clone.",
        ) from None
    except subprocess.TimeoutExpired:
        raise OperationFailed(
            "clone",
            f"`git {words[0]}` in {root} did not end in {_GIT_TIMEOUT_S} s.",
            "Set REPO_URL to an address that the pod can clone.",
        ) from None
    if done.returncode != 0:
        raise OperationFailed(
            "clone",
            f"REPO_URL is '.', and `git {words[0]}` in {root} says: {done.stderr.strip()}",
            "Commit the project (`git init && git add -A && git commit`), or set REPO_URL.",
        )
    return done.stdout
