"""A git bundle of this checkout, for ``REPO_URL=.``."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_wf.agent.setup import same_code
from pytest_wf.agent.setup.same_code import ReadHere
from pytest_wf.errors import OperationFailed
from pytest_wf.flow.readiness.local_commit import no_git, ownership_remedy
from pytest_wf.project.local_git import run_git
from pytest_wf.project.project import CONFIG, Project
from pytest_wf.wire.files import sha256_file
from pytest_wf.wire.remotes import remote
from pytest_wf.wire.trainer import entrypoint

_GIT_TIMEOUT_S = 300


@dataclass(frozen=True)
class Bundle:
    """One commit with its history, packed into a file."""

    #: None if the pod has the commit, so that nothing was packed.
    path: Path | None
    git_sha: str
    sha256: str = ""
    bytes: int = 0
    #: Tracked files with uncommitted changes, which are not in the bundle.
    uncommitted: tuple[str, ...] = ()
    #: Those of them that runs may read: all except flows/, which is read on this machine, and
    #: .gitignore, to which `wf init` adds.
    left_behind: tuple[str, ...] = ()


def never(_git_sha: str) -> bool:
    """What is said of a pod's commits if it is not asked: it has none."""
    return False


@contextmanager
def bundled(root: Path, has: Callable[[str], bool] = never) -> Iterator[Bundle]:
    """Bundle the checked-out commit of `root`; the file exists within the block.

    `has` says whether the pod has a commit, for which no file is needed.
    Raises OperationFailed('clone') if `root` is not in a repository, has no commit yet, or
    is a shallow clone, which git cannot bundle completely.
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
    prefix = _git(root, "rev-parse", "--show-prefix").rstrip("\n")
    own = (f"{prefix}flows/", f"{prefix}.gitignore")
    left = tuple(name for name in changed if not name.startswith(own))
    if has(git_sha):
        yield Bundle(None, git_sha, uncommitted=changed, left_behind=left)
        return
    with tempfile.TemporaryDirectory(prefix="wf-bundle-") as folder:
        path = Path(folder) / "repo.bundle"
        _git(root, "bundle", "create", "--quiet", str(path), "HEAD")
        digest, size = sha256_file(str(path)), path.stat().st_size
        yield Bundle(path, git_sha, digest, size, changed, left)


def commit_here(root: Path) -> str:
    """The checked-out commit of `root`. Raises OperationFailed('clone')."""
    return _git(root, "rev-parse", "--verify", "HEAD^{commit}").strip()


def is_same_code(root: Path, before: str, now: str, read_here: ReadHere) -> bool:
    """Whether all that differs between two commits is in `read_here`; False where one of them is
    not here."""
    # the id comes from the pod: only a valid id becomes an argument of git
    if not same_code.is_commit(before) or not same_code.is_commit(now):
        return False
    try:
        answer = _git(root, *same_code.words(before, now))
    except OperationFailed:
        return False
    return same_code.differences_are_in(read_here, answer)


def read_here(project: Project) -> ReadHere:
    """Paths of the training repository that no row reads: the project's config, CSV and phases.

    Empty if the project is not inside that repository. `flows/` is included only
    if nothing in it is used for training.
    """
    try:
        if not _is_training_repository(project):
            return ReadHere()
        prefix = _git(project.root, "rev-parse", "--show-prefix").rstrip("\n")
    except OperationFailed:
        return ReadHere()
    named = [path for path in (project.config_path, project.csv_path) if path is not None]
    inside = [os.path.relpath(path, project.root) for path in named]
    paths = [posixpath.normpath(prefix + path) for path in inside if not path.startswith("..")]
    flows = f"{prefix}{CONFIG.parent}/"
    return ReadHere((*paths, *([] if _trains_with(project, flows) else [flows])))


def _is_training_repository(project: Project) -> bool:
    url = project.config.repo_url
    if url == ".":
        return True
    listed = _git(project.root, "config", "-z", "--get-regexp", r"^remote\..*\.url$")
    own = {remote(entry.partition("\n")[2]).url for entry in listed.split("\0") if entry}
    return remote(url).url in own


def _trains_with(project: Project, flows: str) -> bool:
    """Whether the config or a row names a file for training in the folder `flows`."""
    config = project.config
    files = (*entrypoint.files(config.train_entrypoint), *(row.config for row in project.rows))
    places = [posixpath.join(config.train_workdir_rel, file) for file in (*files, "")]
    commands = (
        config.train_command_template,
        config.checkout_install_cmd,
        config.checkout_post_cmd,
    )
    is_named = any(re.search(rf"\b{CONFIG.parent}\b", command) for command in commands)
    return is_named or any(f"{posixpath.normpath(place)}/".startswith(flows) for place in places)


def _git(root: Path, *words: str) -> str:
    try:
        done = run_git(root, *words, timeout_s=_GIT_TIMEOUT_S)
    except FileNotFoundError:
        raise no_git("clone") from None
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
            ownership_remedy(done.stderr)
            or "Commit the project (`git init && git add -A && git commit`), or set REPO_URL.",
        )
    return done.stdout
