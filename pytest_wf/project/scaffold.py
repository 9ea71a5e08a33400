"""Writes the files of `wf init` and `wf sweep-csv-template` into a user's project."""

from __future__ import annotations

import os
import platform
import posixpath
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from pytest_wf.config.problems import nearest
from pytest_wf.errors import InputError, Problem
from pytest_wf.project.ignored_data import LISTING, data_in, folder_to_link, folders_of
from pytest_wf.project.local_git import git_output
from pytest_wf.project.project import Project
from pytest_wf.project.trainers import workflow
from pytest_wf.project.trainers.families import BY_NAME
from pytest_wf.project.trainers.finder import propose
from pytest_wf.project.trainers.proposal import Proposal, listed
from pytest_wf.project.trainers.repository import Repository
from pytest_wf.wire.files import write_atomic

#: Exists on a machine with NVIDIA's driver.
_GPU = "/dev/nvidiactl"
_GIT_S = 30.0
_NAMES = ("workflow.env", "sweep.csv", "test_lifecycle.py")
#: Files that a flow makes in a project and that are not committed: results, and the local pod.
_IGNORED = ("reports/", ".wf/")


def scaffold(folder: Path, proposal: Proposal) -> list[Path]:
    """Write flows/workflow.env, flows/sweep.csv and flows/test_lifecycle.py into `folder`.

    Adds the files that a flow makes there to .gitignore, unless it has them. Returns the written
    paths. Raises InputError naming every file that already exists; then nothing is written.
    """
    wanted = {folder / "flows" / name: template(name) for name in _NAMES}
    wanted[folder / "flows" / "workflow.env"] = _workflow(proposal)
    if proposal.sweep:
        wanted[folder / "flows" / "sweep.csv"] = proposal.sweep.encode()
    standing = [path for path in wanted if os.path.lexists(path)]
    if standing:
        raise InputError(
            [
                Problem(str(path), None, "wf init", None, "already exists.", "Move it away first.")
                for path in standing
            ]
        )
    for path, content in wanted.items():
        _write(path, content)
    return [*wanted, *_ignore(folder / ".gitignore")]


def proposed(folder: Path, trainer: str = "", script: str = "") -> Proposal:
    """The proposal from the files in `folder`; raises InputError for a file that does not exist.

    `trainer` is the name of a family and `script` a path; '' to detect it.
    """
    if trainer and trainer not in BY_NAME:
        remedy = f"{nearest(trainer, BY_NAME)}Write one of {', '.join(BY_NAME)}."
        reason = "not a family of trainers."
        raise InputError([Problem("command line", None, "--trainer", trainer, reason, remedy)])
    repository = Repository(folder)
    path = os.path.normpath(os.path.relpath(folder / script, folder)) if script else ""
    if script and (path.startswith("..") or repository.script(path) is None):
        reason = f"not a script that Python {platform.python_version()} can parse."
        remedy = "Write the path of a file in the project's folder."
        raise InputError([Problem("command line", None, "--script", script, reason, remedy)])
    found = propose(repository, trainer, path, has_gpu=os.path.exists(_GPU))
    return _with_ignored_data(repository, found)


def _with_ignored_data(repository: Repository, found: Proposal) -> Proposal:
    """The proposal with the keys for data that git ignores: the commit does not have it."""
    output = git_output(repository.root, *LISTING, timeout_s=_GIT_S) or ""
    folders = folders_of(data_in(output))
    folder = folder_to_link(folders, found.data)
    place = str((repository.root / folder).resolve())
    if folder and place.isprintable():
        note = f"Git ignores data in {folder}: DATA_DIR and DATA_LINK bring it to the local pod."
        link = posixpath.join(repository.prefix, folder)
        found = replace(found, data_dir=place, data_link=link)
    elif folders:
        note = (
            f"Git ignores data in {listed(folders)}: if rows read it, set DATA_DIR and DATA_LINK "
            "(`wf docs how-to/data`)."
        )
    else:
        return found
    return replace(found, notes=(*found.notes, note))


def _workflow(proposal: Proposal) -> bytes:
    """The config, with the lines of the proposal."""
    text = template("workflow.env").decode()
    text = text.replace("@INSTALL@", "\n".join(workflow.install_lines(proposal)))
    return text.replace("@TRAINER@", "\n".join(workflow.trainer_lines(proposal))).encode()


def _ignore(path: Path) -> list[Path]:
    """Add what a flow makes to .gitignore: `git add -A` would commit the pod's checkout."""
    before = path.read_bytes() if path.is_file() else b""
    lines = {line.strip().strip(b"/") for line in before.splitlines()}
    missing = [name for name in _IGNORED if name.strip("/").encode() not in lines]
    if not missing or (os.path.lexists(path) and (path.is_symlink() or not path.is_file())):
        return []
    end = b"" if not before or before.endswith(b"\n") else b"\n"
    _write(path, before + end + "".join(f"{name}\n" for name in missing).encode())
    return [path]


def write_csv_template(project: Project, *, overwrite: bool = False) -> Path:
    """Write a starter CSV at SWEEP_CSV. Raises InputError if one already exists."""
    name = project.config.sweep_csv or "flows/sweep.csv"
    path = project.root / name
    if os.path.lexists(path) and not overwrite:
        raise InputError(
            [Problem(str(path), None, "SWEEP_CSV", None, "already exists.", "Use --force.")]
        )
    _write(path, template("sweep.csv"))
    return path


def template(name: str) -> bytes:
    """A file that `wf init` writes, as shipped."""
    return (files("pytest_wf") / "templates" / name).read_bytes()


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(str(path), content)
    except OSError as e:
        problem = Problem(
            str(path), None, "", None, f"cannot be written: {e.strerror}.", "Check the folder."
        )
        raise InputError([problem]) from None
