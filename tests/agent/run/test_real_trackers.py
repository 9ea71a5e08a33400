"""The variables for trackers and the page's commands, with the real W&B, MLflow and TensorBoard."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import trackers
from pytest_wf.report.trackers import TRACKERS, folders_in
from pytest_wf.wire.rows import Row
from tests.support.sweep_pod import CAMPAIGN, freeze_campaign, make_row

pytestmark = [pytest.mark.trainers, pytest.mark.slow]

TRAINER = """
import json, mlflow, os, wandb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

run = wandb.init()
run.log({"loss": 1.0})
with mlflow.start_run() as started:
    mlflow.log_metric("loss", 1.0)
    experiment = mlflow.get_experiment(started.info.experiment_id).name
EventFileWriter(os.environ["TENSORBOARD_LOGGING_DIR"]).close()
said = [run.id, run.name, run.group, run.project, run.settings.mode]
run.finish()
print(json.dumps([*said, experiment, started.info.run_name]))
"""


def test_a_row_s_names_are_those_of_its_runs_and_the_page_finds_them(
    sweep_values: dict[str, str], tmp_path: Path
) -> None:
    python = Path(os.environ["WF_TEST_TRAINERS_PYTHON"])
    settings = Settings({**sweep_values, "WF_PROJECT": "mhc", "SWEEP_WANDB": "1"})
    row = Row.from_json(make_row("a"))
    plain = {"HOME": str(tmp_path), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    given = trackers.variables(freeze_campaign(settings, [row]), row, plain)
    run = Path(settings.run_dir("a"))
    Path(settings.trackers_dir("a")).mkdir(parents=True)

    environ = {**plain, **given}
    said = _lines(f"python -c '{TRAINER}'", environ, tmp_path)[-1]

    assert json.loads(said) == [f"{CAMPAIGN}-a", "a", CAMPAIGN, "mhc", "offline", "mhc", "a"]
    files = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
    folders = folders_in(run, files)
    assert {one.name for one in folders} == {
        "trackers/wandb",
        "trackers/mlruns",
        "trackers/tensorboard",
    }
    wandb = next(one for one in TRACKERS if one.name == "W&B")
    command = wandb.command([one for one in folders if one.tracker == "W&B"])
    dry = _lines(f"{command} --dry-run", plain, tmp_path)
    assert len([line for line in dry if f"run-{CAMPAIGN}-a.wandb" in line]) == 1


def _lines(command: str, environ: dict[str, str], cwd: Path) -> list[str]:
    done = subprocess.run(
        ["bash", "-c", command], env=environ, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [*done.stderr.splitlines(), *done.stdout.splitlines()]
