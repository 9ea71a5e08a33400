"""What `wf init` and `wf sweep-csv-template` write into a user's project."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from pytest_wf.errors import InputError, Problem
from pytest_wf.flow.project import Project
from pytest_wf.wire.files import write_atomic

__all__ = ["scaffold", "template", "write_csv_template"]

_NAMES = ("workflow.env", "sweep.csv", "test_lifecycle.py")


def scaffold(folder: Path) -> list[Path]:
    """Write flows/workflow.env, flows/sweep.csv and flows/test_lifecycle.py into `folder`.

    Raises InputError naming every file that stands there already; then nothing is written.
    """
    wanted = {folder / "flows" / name: template(name) for name in _NAMES}
    standing = [path for path in wanted if os.path.lexists(path)]
    if standing:
        raise InputError(
            [
                Problem(str(path), None, "wf init", None, "stands already.", "Move it away first.")
                for path in standing
            ]
        )
    for path, content in wanted.items():
        _write(path, content)
    return list(wanted)


def write_csv_template(project: Project, *, overwrite: bool = False) -> Path:
    """Write a starter CSV at SWEEP_CSV. Raises InputError where one stands already."""
    name = project.config.sweep_csv or "flows/sweep.csv"
    path = project.root / name
    if os.path.lexists(path) and not overwrite:
        raise InputError(
            [Problem(str(path), None, "SWEEP_CSV", None, "stands already.", "Use --force.")]
        )
    _write(path, template("sweep.csv"))
    return path


def template(name: str) -> bytes:
    """A file that `wf init` writes, as it is shipped."""
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
