"""A real sweep: charlm on real torch, torchrun, two processes a row, over real ssh."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

import junitparser
import pytest

from pytest_wf.testing import commit_all
from tests.support import ROOT

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = ROOT / "examples"
ROWS = (
    "charlm-s1,config/default.py,1,steps=20,",
    "charlm-s2,config/default.py,2,steps=20,",
    "charlm-fails,config/default.py,3,steps=20 abort_at_step=10,",
    "charlm-fast,config/default.py,1,steps=20 learning_rate=0.01,",
)


@pytest.mark.long
def test_four_rows_of_two_processes_one_of_which_fails(
    new_project: Callable[..., Any], over_ssh: Callable[..., Any], sshd: Any
) -> None:
    project = over_ssh(new_project(rows=ROWS))
    shutil.copytree(EXAMPLES, project.root / "examples")
    commit_all(project.root, "The trainers")
    project.configure(
        REMOTE_PYTHON_BIN=os.environ["WF_TEST_TORCH_PYTHON"],
        TRAIN_WORKDIR_REL="examples/charlm",
        TRAIN_LAUNCHER="torchrun",
        NPROC_PER_NODE="2",
        RUN_RETRIES="0",
    )
    before = sshd.accepted()
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 1, flown.output
    assert sshd.accepted() - before == 1
    cases = {
        case.name: case
        for suite in junitparser.JUnitXml.fromfile(str(project.root / "reports" / "junit.xml"))
        for case in suite
    }
    failed = [name for name, case in cases.items() if not case.is_passed]
    assert failed == ["test_row_trains_to_its_end[charlm-fails]"], flown.output
    assert "end of its log" in cases[failed[0]].result[0].text
    courts = {p["code"]: p["court"] for p in flown.record("flow.summary")["phases"]}
    assert set(courts.values()) == {"pass"}
    runs = project.root / "reports" / "runs"
    assert sorted(p.name for p in runs.iterdir()) == sorted(r.split(",")[0] for r in ROWS)
    reports = (runs / "charlm-s1" / "metrics.jsonl").read_text().splitlines()
    losses = [one["train_loss"] for one in map(json.loads, reports) if "train_loss" in one]
    assert losses[-1] < losses[0]
    assert flown.record("phase.P50.evidence")["facts"]["torch"]["version"]
    assert not list(runs.rglob("ckpt.pt"))


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a GPU")
def test_torch_that_sees_no_gpu_stops_the_checkout_where_one_is_required(project: Any) -> None:
    project.configure(REMOTE_PYTHON_BIN=os.environ["WF_TEST_TORCH_PYTHON"], REQUIRE_GPU_TORCH="1")
    flown = project.flow()
    assert flown.code == 1
    assert flown.record("flow.summary")["failed_phase"] == "P50"
    assert flown.record("flow.summary")["failure_code"] == 315
