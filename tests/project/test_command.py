"""The command of the rows, judged before anything is contacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import InputError
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options
from tests.support.project import write_flows

NO_CONFIGS = "run_id,seed,overrides,notes\na,1,lr=1,\nb,2,lr=2,\n"


def problems(tmp_path: Path, keys: str, csv: str = NO_CONFIGS, **options: Any) -> list[str]:
    root = write_flows(tmp_path, csv)
    with (root / "flows" / "workflow.env").open("a") as f:
        f.write(keys)
    try:
        load_project(root, Options(**options), {})
    except InputError as e:
        return [str(problem) for problem in e.problems]
    return []


def test_a_sweep_needs_no_config_where_its_command_uses_none(tmp_path: Path) -> None:
    key = 'TRAIN_COMMAND_TEMPLATE=\'launch t.py --seed $SEED ${CONFIG:+--config "$CONFIG"} "$@"\'\n'
    assert problems(tmp_path, key) == []


def test_a_sweep_without_configs_is_one_problem(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "")
    assert problem.startswith('flows/sweep.csv:2: config="": no row has a config')


def test_an_unknown_variable_is_refused_with_the_nearest(tmp_path: Path) -> None:
    key = "TRAIN_COMMAND_TEMPLATE='launch t.py --out $TRAIN_OUT_DIRS $SEED $NVIDIA_X'\n"
    first, second = problems(tmp_path, key)
    assert 'TRAIN_COMMAND_TEMPLATE="$TRAIN_OUT_DIRS": not a variable that a row has.' in first
    assert "Did you mean TRAIN_OUT_DIR?" in first
    assert "write ${NVIDIA_X:-} if the pod's own environment may have it" in second


def test_variables_of_the_users_own_are_known(tmp_path: Path) -> None:
    keys = (
        "WF_SECRET_ENV=HUB_TOKEN\nTRAIN_COMMAND_TEMPLATE='t.py ${LD_LIBRARY_PATH:-} $HUB_TOKEN'\n"
    )
    assert problems(tmp_path, keys) == []


@pytest.mark.parametrize("value", ["-m", "-m a-b", "-m a/b", "-m a b", "-mpkg"])
def test_what_is_no_module_is_no_entrypoint(tmp_path: Path, value: str) -> None:
    csv = "run_id,config,seed,overrides,notes\na,c,1,,\n"
    (problem,) = problems(tmp_path, f"TRAIN_ENTRYPOINT={value}\n", csv)
    assert "TRAIN_ENTRYPOINT=" in problem


@pytest.mark.parametrize(
    ("keys", "options", "expected"),
    [
        ("SMOKE_OVERRIDES='x=\"1'\n", {}, "not arguments of a program"),
        ("SMOKE_OVERRIDES=seed=3\n", {}, '"seed=3": seed is set by pytest-wf on each row'),
        ("", {"smoke": True}, "SMOKE_OVERRIDES: is empty, and --wf-smoke would train a whole row"),
        (
            "SMOKE_OVERRIDES=x=1\nSWEEP_DRY_RUN=1\n",
            {"smoke": True},
            'SWEEP_DRY_RUN="1": runs nothing',
        ),
        (
            "SMOKE_OVERRIDES=x=1\nSMOKE_TIMEOUT_SECS=90\nWF_PHASE_TIMEOUT_SECS=90\n",
            {"smoke": True},
            'SMOKE_TIMEOUT_SECS="90": is not within P60\'s own limit',
        ),
        (
            "SMOKE_OVERRIDES=x=1\n",
            {"smoke": True, "sweep": "resume"},
            "--wf-smoke: runs before a sweep starts, and none is started.",
        ),
        (
            "SMOKE_OVERRIDES=x=1\nWF_ENGINE=slurm\n",
            {"smoke": True},
            "not possible with WF_ENGINE=slurm. Leave it out, and select one row by -k",
        ),
    ],
)
def test_a_smoke_run_that_cannot_be_is_refused(
    tmp_path: Path, keys: str, options: dict[str, Any], expected: str
) -> None:
    csv = "run_id,config,seed,overrides,notes\na,c,1,,\n"
    (problem,) = problems(tmp_path, keys, csv, **options)
    assert expected in problem
