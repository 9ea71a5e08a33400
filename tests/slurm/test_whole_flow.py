"""Whole flows over sshd to the login node of a real Slurm."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.flow_project import Project
from tests.support.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ALL = ("--wf-wait=true", "--wf-fetch=all")
FAILING = """\
import os, sys, time
print("loss 0.5 step 1", flush=True)
if os.environ["RUN_ID"] == "fails":
    sys.exit("ValueError: no such layer")
if os.environ["RUN_ID"] == "late":
    time.sleep(600)
open(os.path.join(os.environ["TRAIN_OUT_DIR"], "node"), "w").write(os.uname().nodename)
"""


def test_a_flow_over_ssh_runs_its_rows_as_jobs_and_brings_their_results_home(
    cluster_project: Callable[..., Project],
) -> None:
    ids = ("a", "b", "c", "d", "e", "f", "g", "fails")
    project = cluster_project(rows=[f"{i},default.py,1,," for i in ids], trainer=FAILING)
    flown = project.flow(*ALL)
    assert flown.code == 1, flown.output
    summary = flown.record("flow.summary")
    rows = {row["run_id"]: row for row in summary["rows"]}
    assert [i for i in ids if rows[i]["state"] != "success"] == ["fails"]
    assert rows["fails"]["failure_class"] == "user"
    probed = flown.record("phase.P30.evidence")["facts"]["probe"]["slurm"]
    assert [p["name"] for p in probed["partitions"]] == ["low*", "high"]
    compute = flown.record("phase.P50.evidence")["facts"]["compute"]
    assert compute["probed"], compute
    assert (project.root / "reports" / "runs" / "a" / "out" / "node").exists()
    assert (project.root / "reports" / "report.html").exists()
    verified = project.wf("verify", str(flown.folder))
    assert verified.returncode == 0, verified.stdout
    status = project.wf("sweep-status", "--json")
    assert json.loads(status.stdout)["state"] == "ARTIFACTS_SYNCED", status.stdout


@pytest.mark.long
def test_a_controller_that_was_killed_is_resumed_and_the_rows_have_gone_on(
    cluster_project: Callable[..., Project], tmp_path: Any
) -> None:
    gate = tmp_path / "gate"
    project = cluster_project(
        rows=[f"{i},default.py,1,wait_for={gate}," for i in ("one", "two")],
    )
    run = project.start(*ALL)
    logs = [project.outputs / i / "stdout.log" for i in ("one", "two")]
    until(lambda: all(log.exists() and log.stat().st_size for log in logs), "both train", 100)
    run.kill()
    gate.touch()
    flown = project.flow("--wf-sweep=resume", *ALL)
    assert flown.code == 0, flown.output
    assert (project.root / "reports" / "runs" / "two" / "summary.json").exists()
    assert not (project.outputs / "one" / "attempts" / "2").exists()


@pytest.mark.long
def test_a_gpu_torch_is_looked_for_on_the_nodes_and_not_on_the_login_node(
    cluster_project: Callable[..., Project],
) -> None:
    project = cluster_project()
    project.configure(REQUIRE_GPU_TORCH="1")
    flown = project.flow(*ALL)
    assert flown.record("phase.P50.verdict")["phase_pass"] is True, flown.output
    rows = flown.record("flow.summary")["rows"]
    assert {row["failure_class"] for row in rows} == {"cuda"}


def test_the_plan_names_arrays_widths_and_limits(
    cluster_project: Callable[..., Project],
) -> None:
    project = cluster_project()
    project.configure(WF_SLURM_ARGS="'partition=high mem=500'", RUN_TIMEOUT_SECS="60")
    plan = project.flow("--collect-only").output
    assert "P60 Slurm: 2 rows with 1 nodes, 1 GPUs a node, 60 s" in plan, plan
    assert "partition=high mem=500" in plan
