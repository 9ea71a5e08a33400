"""Odd trainers as the rows of one sweep: each ends in its state, with every file here or named."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import commit_all
from pytest_wf.wire.ownership import MARKER
from tests.support import views
from tests.zoo.trainer import FOLDER, Trainer, trainers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

HEADER = "run_id,config,seed,overrides,notes,timeout_secs\n"
#: A trainer whose name ends in 'pipe' is the first part of a pipeline.
TEMPLATE = (
    "export ZOO_ELSEWHERE={elsewhere}; case $RUN_ID in "
    '*_pipe) "$VENV_PYTHON" "$CONFIG" | cat;; *) "$VENV_PYTHON" "$CONFIG";; esac'
)


@pytest.fixture
def zoo(new_project: Callable[..., Any], tmp_path: Path) -> Any:
    """A project whose rows are the trainers."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    project = new_project()
    project.configure(
        TRAIN_COMMAND_TEMPLATE=f"'{TEMPLATE.format(elsewhere=elsewhere)}'",
        RUN_RETRIES="0",
        RUN_LINGER_SECS="4",
        RUN_HEARTBEAT_SECS="6",
        RUN_KILL_GRACE_SECS="1",
        FETCH_INCLUDE_CHECKPOINTS="1",
    )
    folder = project.root / "train" / "trainers"
    folder.mkdir()
    for path in FOLDER.glob("*.py"):
        (folder / path.name).write_bytes(path.read_bytes())
    rows = "".join(f"{trainer.csv_line}\n" for trainer in trainers())
    (project.root / "flows" / "sweep.csv").write_text(HEADER + rows)
    commit_all(project.root, "Add the trainers")
    return project


@pytest.mark.parametrize(
    ("place", "mode"),
    [
        ("ssh", "durable"),
        ("local", "local_sync"),
        pytest.param("local", "durable", marks=pytest.mark.long),
        pytest.param("ssh", "local_sync", marks=pytest.mark.long),
    ],
)
def test_every_trainer_ends_in_its_state_with_every_file_here_or_named(
    zoo: Any, over_ssh: Callable[..., Any], place: str, mode: str
) -> None:
    if place == "ssh":
        over_ssh(zoo)
    zoo.configure(RUN_OUT_MODE=mode)
    flown = zoo.flow("-v", "--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 1, flown.output
    rows = {row["run_id"]: row for row in flown.record("flow.summary")["rows"]}
    assert set(rows) == {trainer.name for trainer in trainers()}, flown.output
    wrong = {
        trainer.name: found
        for trainer in trainers(mode)
        if (found := [*_wrong_end(trainer, zoo, rows[trainer.name]), *_lost(trainer, zoo)])
    }
    assert not wrong, "\n".join(f"{name}: {'; '.join(found)}" for name, found in wrong.items())

    said = views.all_of(zoo, flown)
    views.agree(said, said["summary"].rows)


def _wrong_end(trainer: Trainer, zoo: Any, row: dict[str, Any]) -> Iterator[str]:
    """How the row's end differs from what the trainer says of it."""
    summary = json.loads((zoo.outputs / trainer.name / "summary.json").read_text())
    notes = {note["code"] for note in row["notes"]}
    differences = {
        "state": (trainer.state, row["state"]),
        "summary": (trainer.state, summary["state"]),
        "class": (trainer.failure_class, row["failure_class"] if trainer.failure_class else None),
        "exit": (
            trainer.exit_code,
            summary["exit_code"] if trainer.exit_code is not None else None,
        ),
        "notes": (trainer.notes, notes - {"left-out"}),
        "metrics": (trainer.metrics, {k: row["metrics"].get(k) for k in trainer.metrics}),
    }
    for name, (expected, actual) in differences.items():
        if expected != actual:
            yield f"{name} is {actual}, not {expected}"


def _lost(trainer: Trainer, zoo: Any) -> Iterator[str]:
    """Files of the run on the pod that were not fetched unchanged or named, and wrong names."""
    pod, here = zoo.outputs / trainer.name, zoo.root / "reports" / "runs" / trainer.name
    record = json.loads((here / "FETCHED.json").read_text())
    named = {one["path"].rstrip("/") for one in record["left_out"]}
    if named != trainer.refused | trainer.empty:
        yield f"named {named}, not {trainer.refused | trainer.empty}"
    if record["whole"] is not (not trainer.refused):
        yield f"whole is {record['whole']}"
    for path in _entries(pod):
        if str(path) not in named and not _is_same(pod / path, here / path):
            yield f"{path!r} was not fetched and is not named"


def _entries(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in [*files, *links]:
            path = Path(parent, name).relative_to(folder)
            if path != Path(MARKER):  # says whose folder it is; no result
                yield path


def _is_same(one: Path, other: Path) -> bool:
    if one.is_symlink() or not stat.S_ISREG(one.lstat().st_mode):
        return other.exists() and one.exists() and (one.is_dir() or _is_same(one.resolve(), other))
    return other.is_file() and one.read_bytes() == other.read_bytes()
