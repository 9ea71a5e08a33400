"""The pod does the work: a controller may die, leave or come back at any time."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import commit_all
from tests.support.waiting import until

pytestmark = pytest.mark.slow

RESUME = ("--wf-sweep=resume", "--wf-wait=true", "--wf-fetch=all")


@pytest.fixture
def gated(new_project: Callable[..., Any], tmp_path: Path) -> Any:
    """A project whose second row trains until the file `gate` is there."""
    gate = tmp_path / "gate"
    project = new_project(
        rows=(
            "one,default.py,1,,",
            f"two,default.py,1,steps=40 sleep=0.01 wait_for={gate},",
            "three,default.py,1,,",
        )
    )
    project.gate = gate
    return project


def _log(project: Any, run_id: str) -> str:
    path = project.outputs / run_id / "stdout.log"
    return path.read_text() if path.exists() else ""


def _in_row_two(project: Any) -> bool:
    return "training two" in _log(project, "two")


def _ran_exactly_once(project: Any) -> None:
    for run_id in ("one", "two", "three"):
        started = (project.outputs / run_id / "out" / "argv.json").read_text().splitlines()
        assert len(started) == 1, run_id
        assert json.loads((project.outputs / run_id / "summary.json").read_text())["ok"] is True


@pytest.mark.fault("C1")
def test_a_killed_controller_loses_nothing(gated: Any) -> None:
    run = gated.start("--wf-wait=true", "--wf-fetch=all")
    until(lambda: _in_row_two(gated), "row two trains")
    run.kill()
    gated.gate.touch()
    resumed = gated.flow(*RESUME)
    assert resumed.code == 0, resumed.output
    _ran_exactly_once(gated)
    steps = [line for line in _log(gated, "two").splitlines() if " step " in line]
    assert len(steps) == 40
    for number, line in enumerate(steps):
        assert f"step {number}: train loss" in line
    assert sorted(p.name for p in (gated.root / "reports" / "runs").iterdir()) == [
        "one",
        "three",
        "two",
    ]


def test_a_flow_that_does_not_wait_leaves_a_sweep_that_a_later_one_ends(gated: Any) -> None:
    launched = gated.flow()
    assert launched.code == 0, launched.output
    assert "launched" in launched.output.splitlines()[-1]
    assert launched.record("phase.P70.verdict")["phase_pass"] is True
    assert not (gated.root / "reports" / "runs").exists()
    state = json.loads((gated.outputs / "_control" / "workflow_state.json").read_text())
    assert state["state"] == "SWEEP_RUNNING"
    gated.gate.touch()
    resumed = gated.flow(*RESUME)
    assert resumed.code == 0, resumed.output
    _ran_exactly_once(gated)


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(n, marks=pytest.mark.long) for n in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_an_interruption_in_a_row_leaves_the_sweep_alive(
    gated: Any, number: signal.Signals
) -> None:
    run = gated.start("--wf-wait=true", "--wf-fetch=all")
    until(lambda: _in_row_two(gated), "row two trains")
    run.process.send_signal(number)
    run.wait()
    assert run.code == 2, run.output
    summary = run.record("flow.summary")
    assert (summary["ok"], summary["exit_code"]) == (False, 2)
    assert run.record("phase.P90.evidence")["facts"]["deleted"] is False
    assert run.record("phase.P99.verdict")["phase_pass"] is True
    assert not (gated.outputs / "two" / "summary.json").exists()
    gated.gate.touch()
    assert gated.flow(*RESUME).code == 0
    _ran_exactly_once(gated)


@pytest.mark.fault("C2")
def test_an_interruption_in_bootstrap_ends_with_teardown_and_summary(
    project: Any, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    script = tmp_path / "slow.sh"
    script.write_text(f"touch {begun}\nexec sleep 120\n")
    project.configure(BOOTSTRAP_SCRIPT=str(script))
    run = project.start("--wf-wait=true")
    until(begun.exists, "the bootstrap script runs")
    run.process.send_signal(signal.SIGINT)
    run.wait()
    assert run.code == 2, run.output
    assert run.record("phase.P40.verdict")["code"] == 396
    phases = {p["code"]: p for p in run.record("flow.summary")["phases"]}
    assert phases["P50"]["status"] == "halted"
    assert phases["P90"]["court"] == phases["P99"]["court"] == "pass"


@pytest.mark.long
def test_a_row_that_is_trained_and_fetched_again_leaves_the_earlier_evidence_true(
    new_project: Callable[..., Any],
) -> None:
    project = new_project(rows=("bad,default.py,1,exit=3,",))
    folder = project.flow("--wf-wait=true", "--wf-fetch=all").folder
    assert project.flow(*RESUME).code == 1
    runs = project.root / "reports" / "runs"
    assert json.loads((runs / "bad" / "summary.json").read_text())["attempts"] == 2
    earlier = runs / ".superseded" / folder.name / "bad"
    assert json.loads((earlier / "summary.json").read_text())["attempts"] == 1
    told = project.wf("verify", str(folder))
    assert told.returncode == 0, told.stdout


@pytest.mark.fault("F3")
def test_resume_refuses_a_csv_that_is_not_the_campaigns(gated: Any) -> None:
    gated.gate.touch()
    assert gated.flow("--wf-wait=true").code == 0
    csv = gated.root / "flows" / "sweep.csv"
    csv.write_text(csv.read_text().replace("three,default.py,1", "three,default.py,9"))
    resumed = gated.flow(*RESUME)
    assert resumed.record("phase.P60.verdict")["code"] == 404
    assert "three" in resumed.record("phase.P60.evidence")["error"]


def test_resume_refuses_a_campaign_of_another_commit_unless_it_is_named(project: Any) -> None:
    first = project.flow("--wf-wait=true")
    assert first.code == 0, first.output
    campaign = first.record("phase.P60.evidence")
    (project.root / "train" / "train.py").write_text("raise SystemExit('another trainer')\n")
    commit = commit_all(project.root, "Change the trainer")

    refused = project.flow(*RESUME)
    verdict = refused.record("phase.P50.verdict")
    assert (refused.code, verdict["code"]) == (1, 312)
    error = refused.record("phase.P50.evidence")["error"]
    assert campaign["git_sha"] in error
    assert commit in error
    named = f"--wf-campaign={campaign['campaign_id']}"
    assert named in error
    again = "pytest flows/ --wf-flow --wf-wait=true --wf-fetch=all"
    assert verdict["suggested_next_command"] == again

    resumed = project.flow(*RESUME, named)
    assert resumed.code == 0, resumed.output
    assert resumed.record("phase.P60.evidence")["campaign_id"] == campaign["campaign_id"]
    other = project.flow(*RESUME, "--wf-campaign=c-20260101T000000Z-abcdef")
    assert other.record("phase.P60.verdict")["code"] == 403
    assert project.flow("--wf-campaign=c-1").code == 4


@pytest.mark.long
def test_a_commit_of_config_csv_and_phases_alone_is_the_same_code(project: Any) -> None:
    assert project.flow("--wf-wait=true").code == 0
    project.configure(WF_EXPECT="train_loss<99")
    commit_all(project.root, "Expect something")
    resumed = project.flow(*RESUME)
    assert resumed.code == 0, resumed.output


@pytest.mark.long
def test_resume_without_a_campaign_says_what_to_do(project: Any) -> None:
    resumed = project.flow(*RESUME)
    assert resumed.code == 1
    assert "start a sweep with `pytest flows/ --wf-flow " in resumed.output


def test_start_refuses_while_a_campaign_runs(gated: Any) -> None:
    assert gated.flow().code == 0
    second = gated.flow()
    assert second.code == 1
    assert second.record("flow.summary")["failed_phase"] in ("P40", "P60")
    gated.gate.touch()


def test_a_resume_runs_rows_that_ended_badly_once_more(new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("good,default.py,1,,", "bad,default.py,1,exit=3,"))
    assert project.flow("--wf-wait=true").code == 1
    assert project.flow(*RESUME).code == 1
    assert len((project.outputs / "good" / "out" / "argv.json").read_text().splitlines()) == 1
    attempts = sorted(p.name for p in (project.outputs / "bad" / "attempts").iterdir())
    assert attempts == ["1", "2"]


@pytest.mark.long
def test_a_pod_status_in_mid_sweep_leaves_the_state_alone(gated: Any) -> None:
    assert gated.flow().code == 0
    assert gated.wf("pod-status").returncode == 0
    status = gated.wf("fsm-status", "--json")
    assert json.loads(status.stdout)["state"] == "SWEEP_RUNNING"
    gated.gate.touch()


@pytest.mark.fault("C5")
def test_two_controllers_cannot_hold_one_pod(gated: Any) -> None:
    run = gated.start("--wf-wait=true")
    until(lambda: _in_row_two(gated), "row two trains")
    second = gated.flow("--wf-sweep=resume")
    assert second.code == 1
    assert second.record("flow.summary")["failure_code"] == 282
    assert str(run.process.pid) in second.output
    gated.gate.touch()
    assert run.wait().code == 0, run.output


@pytest.mark.long
def test_delete_is_refused_until_results_are_here_and_then_removes_only_its_own(
    project: Any,
) -> None:
    foreign = project.root / ".wf" / "pod" / "somebodys.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("not ours")
    refused = project.flow("--wf-wait=true", "--wf-teardown=delete")
    assert refused.code == 1
    assert refused.record("flow.summary")["failure_code"] == 511
    assert (project.outputs / "one" / "summary.json").exists()
    project.configure(SWEEP_FORCE="1")
    deleted = project.flow("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
    assert deleted.code == 0, deleted.output
    assert not (project.outputs / "one").exists()
    assert not (project.root / ".wf" / "pod" / "repo").exists()
    assert foreign.read_text() == "not ours"
    assert (project.root / "reports" / "runs" / "one" / "summary.json").exists()
