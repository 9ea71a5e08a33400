"""What `wf init` and `wf sweep-csv-template` write into a user's project."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pytest_wf.errors import InputError, Problem
from pytest_wf.flow.project import Project
from pytest_wf.wire.files import write_atomic

__all__ = ["scaffold", "write_csv_template"]

_CSV = b"""run_id,config,seed,overrides,notes
baseline-s1,config/default.py,1,,the config as it stands
fast-s1,config/default.py,1,"learning_rate=0.01",one override
"""


def scaffold(folder: Path) -> list[Path]:
    """Write flows/workflow.env, flows/sweep.csv and flows/test_lifecycle.py into `folder`.

    Raises InputError naming every file that stands there already; then nothing is written.
    """
    templates = files("pytest_wf").joinpath("templates")
    wanted = {
        folder / "flows" / name: templates.joinpath(name).read_bytes()
        for name in ("workflow.env", "sweep.csv", "test_lifecycle.py")
    }
    standing = [path for path in wanted if path.exists()]
    if standing:
        raise InputError(
            [
                Problem(str(path), None, "wf init", None, "stands already.", "Move it away first.")
                for path in standing
            ]
        )
    (folder / "flows").mkdir(parents=True, exist_ok=True)
    for path, content in wanted.items():
        write_atomic(str(path), content)
    return list(wanted)


def write_csv_template(project: Project, *, overwrite: bool = False) -> Path:
    """Write a starter CSV at SWEEP_CSV. Raises InputError where one stands already."""
    name = project.config.sweep_csv or "flows/sweep.csv"
    path = project.root / name
    if path.exists() and not overwrite:
        raise InputError(
            [Problem(str(path), None, "SWEEP_CSV", None, "stands already.", "Use --force.")]
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(str(path), _CSV)
    return path
