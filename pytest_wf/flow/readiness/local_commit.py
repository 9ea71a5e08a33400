"""The training repository on this machine: the commit that a pod gets, and its contents."""

from __future__ import annotations

import posixpath
import re
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pytest_wf.errors import OperationFailed
from pytest_wf.project.ignored_data import LISTING, data_in
from pytest_wf.project.local_git import run_git
from pytest_wf.project.project import Project
from pytest_wf.wire.trainer import entrypoint

_TIMEOUT_S = 120.0
#: The kind of a path in a commit; '' if it does not exist.
FILE, FOLDER, SUBMODULE, ABSENT = "blob", "tree", "commit", ""
#: The file that lists a commit's submodules.
SUBMODULES = ".gitmodules"

#: Asks git for a folder's repository, and where in it the folder is.
_PLACE = ("--show-toplevel", "--show-prefix")
_INTERPRETERS = frozenset(
    "bash sh python python3 torchrun launch source . $VENV_PYTHON ${VENV_PYTHON}".split()
)


@dataclass(frozen=True)
class LocalCommit:
    """One commit of the repository around the project."""

    #: The repository's top directory.
    root: Path
    sha: str
    #: The project's path in the repository: '' or ``sub/``.
    prefix: str
    #: The kinds that git has told.
    _kinds: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def kind(self, path: str) -> str:
        """The kind of a path in the commit; see `kinds`."""
        return self.kinds([path])[path]

    def kinds(self, paths: Iterable[str]) -> dict[str, str]:
        """The kind of each path in the commit: FILE, FOLDER, SUBMODULE or ABSENT; asked once.

        Links are followed; one that leads out of the repository counts as a file.
        """
        asked = list(dict.fromkeys(paths))
        unknown = [path for path in asked if path not in self._kinds]
        if unknown:
            self._kinds.update(self._told(unknown))
        return {path: self._kinds[path] for path in asked}

    def _told(self, paths: Iterable[str]) -> dict[str, str]:
        lines = "".join(f"{self.sha}:{_normal(path)}\n" for path in paths)
        words = ("cat-file", "--batch-check=%(objecttype)", "--follow-symlinks")
        told = iter(_git(self.root, *words, stdin=lines).splitlines())
        found = {}
        for path in paths:
            line = next(told, "")
            kind = line.split(" ")[0]
            if kind in ("symlink", "dangling", "loop", "notdir") and line.split(" ")[-1].isdigit():
                next(told, "")  # the link's target
                found[path] = FILE if kind == "symlink" else ABSENT
            else:
                found[path] = kind if kind in (FILE, FOLDER, SUBMODULE) else ABSENT
        return found

    def text(self, path: str) -> str:
        """The content of a file of the commit; '' if there is none."""
        return _git(self.root, "cat-file", "blob", f"{self.sha}:{_normal(path)}", may_fail=True)

    def status(self) -> tuple[list[str], list[str]]:
        """Tracked files with changes, and untracked files."""
        words = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal")
        entries = _git(self.root, *words, "--ignore-submodules=dirty").split("\0")
        changed = [entry[3:] for entry in entries if len(entry) > 3 and entry[:2] != "??"]
        return changed, [entry[3:] for entry in entries if entry[:3] == "?? "]

    def ignored_data(self) -> list[str]:
        """Files and folders in folders such as ``data/`` that git ignores."""
        return data_in(_git(self.root, *LISTING))

    def lfs_files(self) -> list[str]:
        """Files whose content git LFS keeps elsewhere."""
        listed = _git(self.root, "ls-files", "-z", "--", ":(top,attr:filter=lfs)")
        return [name for name in listed.split("\0") if name]

    def submodules(self) -> list[str]:
        """Paths of the commit's submodules."""
        if self.kind(SUBMODULES) != FILE:
            return []
        blob = f"--blob={self.sha}:{SUBMODULES}"
        listed = _git(self.root, "config", blob, "-z", "--get-regexp", r"\.path$", may_fail=True)
        return [entry.partition("\n")[2] for entry in listed.split("\0") if "\n" in entry]

    def named(self, name: str) -> list[str]:
        """The commits of a branch or tag of that name: local, and on remotes as of
        the last fetch."""
        refs = (f"refs/heads/{name}", f"refs/tags/{name}", f"refs/remotes/*/{name}")
        # for an annotated tag, the second one is the commit
        words = ("for-each-ref", "--format=%(objectname) %(*objectname)", *refs)
        return [line.split()[-1] for line in _git(self.root, *words).splitlines()]

    def branch(self) -> str:
        """The checked-out branch; '' for none."""
        return _git(self.root, "symbolic-ref", "--quiet", "--short", "HEAD", may_fail=True).strip()


def checked_out(project: Project) -> LocalCommit:
    """The commit that a pod gets for ``REPO_URL=.``.

    Raises OperationFailed('repository') if the project is not in a repository, or the repository
    has no commit, or is a shallow clone, which git cannot bundle completely.
    """
    root = project.root
    try:
        facts = _git(root, "rev-parse", "--is-shallow-repository", *_PLACE).split("\n")
    except OperationFailed as e:
        if "not a git repository" not in e.message:
            raise
        raise OperationFailed(
            "repository",
            f"REPO_URL is '.', and {root} is not in a git repository.",
            "Commit the project (`git init && git add -A && git commit`), or set REPO_URL.",
        ) from None
    sha = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", may_fail=True).strip()
    if not sha:
        raise OperationFailed(
            "repository",
            f"REPO_URL is '.', and the repository of {root} has no commit.",
            "Commit the project (`git add -A && git commit`).",
        )
    is_shallow, top, prefix = facts[:3]
    if is_shallow == "true":
        raise OperationFailed(
            "repository",
            f"REPO_URL is '.', and {root} is a shallow clone, which git cannot pack.",
            "Run `git fetch --unshallow` there first.",
        )
    return LocalCommit(Path(top), sha, prefix)


def pinned(project: Project) -> LocalCommit | None:
    """The commit of EXPECT_GIT_SHA, if the repository around the project has it."""
    sha, root = project.config.expect_git_sha, project.root
    try:
        _git(root, "cat-file", "-e", f"{sha}^{{commit}}")
        top, prefix = _git(root, "rev-parse", *_PLACE).split("\n")[:2]
        return LocalCommit(Path(top), sha, prefix)
    except OperationFailed:
        return None


def script_of(command: str) -> str:
    """The relative path of the file that a shell command plainly starts with; '' for none.

    Only its first part counts: later files may be made by earlier commands.
    """
    try:
        words = shlex.split(re.split(r"[;|&\n]", command.strip())[0])
    except ValueError:
        return ""
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words = words[1:]
    program = words[0] if words else ""
    if program.startswith("./"):
        return _plain(program)
    if posixpath.basename(program) in ("pip", "pip3", "uv"):
        flags = [i for i, word in enumerate(words[:-1]) if word in ("-r", "--requirement")]
        return _plain(words[flags[0] + 1]) if flags else ""
    if program not in _INTERPRETERS or "-c" in words:
        return ""
    return next((_plain(w) for w in words[1:] if w.endswith((".py", ".sh"))), "")


def trainer_files(command: str) -> tuple[str, ...]:
    """The possible files that a template plainly starts: a script, or `launch -m module`."""
    module = re.match(r"\s*launch\s+(-m [\w.]+)(?:\s|$)", command)
    script = script_of(command)
    return entrypoint.files(module[1]) if module else (script,) if script else ()


def _plain(word: str) -> str:
    relative = re.fullmatch(r"(?![/-])[A-Za-z0-9_./+-]+", word) and ".." not in word.split("/")
    return _normal(word) if relative else ""


def _normal(path: str) -> str:
    normal = posixpath.normpath(path)
    return "" if normal == "." else normal


def _git(root: Path, *words: str, stdin: str = "", may_fail: bool = False) -> str:
    """The output of git; '' if it fails and may. Raises OperationFailed('repository')."""
    try:
        done = run_git(root, *words, timeout_s=_TIMEOUT_S, stdin=stdin, errors="surrogateescape")
    except FileNotFoundError:
        raise no_git("repository") from None
    except subprocess.TimeoutExpired:
        raise OperationFailed(
            "repository", f"`git {words[0]}` in {root} did not end in {_TIMEOUT_S:.0f} s."
        ) from None
    if done.returncode == 0:
        return done.stdout
    if may_fail:
        return ""
    raise OperationFailed(
        "repository",
        f"`git {words[0]}` in {root} says: {' '.join(done.stderr.split())}",
        ownership_remedy(done.stderr)
        or "Repair the repository, or set REPO_URL to an address that the pod can clone.",
    )


def no_git(kind: str) -> OperationFailed:
    """The failure of an operation on a machine without git."""
    return OperationFailed(
        kind,
        "REPO_URL is '.', and this machine has no git to pack the checkout with.",
        "Install git here, or set REPO_URL to an address that the pod can clone.",
    )


def ownership_remedy(said: str) -> str:
    """The remedy if git refuses the repository of another user; '' if it does not."""
    command = re.search(r"git config --global --add safe\.directory \S.*", said)
    if command is None:
        return ""
    return f"The repository belongs to another user. If you trust it, run: {command[0]}"
