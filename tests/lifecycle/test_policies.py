"""What a user can ask of a flow: what to launch, how long to wait, what to do at the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ALL = ("--wf-wait=true", "--wf-fetch=all")


def test_skip_launches_nothing_and_takes_a_snapshot(project: Any) -> None:
    assert project.flow("--wf-wait=true").code == 0
    before = (project.outputs / "one" / "out" / "argv.json").read_bytes()
    flown = project.flow("--wf-sweep=skip", "--wf-fetch=all")
    assert flown.code == 0, flown.output
    assert flown.record("phase.P60.evidence")["phase_status"] == "skip"
    assert flown.record("phase.P70.evidence")["facts"]["counts"]["ok"] == 2
    assert (project.outputs / "one" / "out" / "argv.json").read_bytes() == before
    assert (project.root / "reports" / "runs" / "two").is_dir()


@pytest.mark.fault("S4")
def test_a_flow_says_which_control_file_is_damaged_and_goes_on(project: Any) -> None:
    assert project.flow("--wf-wait=true").code == 0
    state = project.outputs / "_control" / "workflow_state.json"
    state.write_text("{")

    flown = project.flow("--wf-sweep=skip", "--wf-fetch=all")

    assert flown.code == 0, flown.output
    said = f"{state} on the pod cannot be read"
    assert flown.output.count(f"warning: {said}") == 1
    assert said in str(flown.record("phase.P30.evidence")["facts"]["damaged"])
    assert len(list(state.parent.glob("workflow_state.json.unreadable-*"))) == 1


@pytest.mark.long
def test_skip_on_a_pod_without_a_campaign_passes_with_nothing_to_look_at(project: Any) -> None:
    flown = project.flow("--wf-sweep=skip")
    assert flown.code == 0, flown.output
    assert "no campaign" in flown.record("phase.P70.evidence")["facts"]["skip_reason"]


def test_a_dry_run_writes_commands_and_trains_nothing(project: Any) -> None:
    project.configure(SWEEP_DRY_RUN="1")
    flown = project.flow(*ALL)
    assert flown.code == 0, flown.output
    assert "seed=1" in (project.outputs / "one" / "command.sh").read_text()
    assert not (project.outputs / "one" / "out" / "argv.json").exists()
    assert "2 skipped" in flown.output
    project.configure(SWEEP_DRY_RUN="0", SWEEP_FORCE="1")
    assert project.flow(*ALL).code == 0
    assert (project.outputs / "one" / "out" / "argv.json").exists()


def test_fail_fast_leaves_later_rows_alone_and_halts(new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("bad,default.py,1,exit=3,", "good,default.py,1,,"))
    project.configure(SWEEP_FAIL_FAST="1", RUN_RETRIES="0")
    flown = project.flow(*ALL)
    assert flown.code == 1
    assert flown.record("flow.summary")["failed_phase"] == "P70"
    assert not (project.outputs / "good" / "out" / "argv.json").exists()


@pytest.mark.fault("P13")
@pytest.mark.long
def test_a_run_that_takes_too_long_is_killed_and_named(new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("slow,default.py,1,steps=1 sleep=600,", "good,default.py,1,,"))
    project.configure(RUN_TIMEOUT_SECS="1", RUN_KILL_GRACE_SECS="1", RUN_RETRIES="0")
    flown = project.flow(*ALL)
    assert flown.code == 1
    rows = {r["run_id"]: r for r in flown.record("flow.summary")["rows"]}
    assert (rows["slow"]["state"], rows["slow"]["failure_class"]) == ("timed_out", "timeout")
    assert rows["good"]["state"] == "success"


@pytest.mark.fault("P13")
def test_waiting_ends_after_so_many_polls_and_the_sweep_goes_on(
    new_project: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    project = new_project(rows=(f"one,default.py,1,wait_for={gate},",))
    project.configure(WF_FLOW_WAIT_MAX_POLLS="1", WF_FLOW_WAIT_INTERVAL_SECS="1")
    flown = project.flow(*ALL)
    assert flown.code == 1
    assert flown.record("flow.summary")["failure_code"] == 412
    state = json.loads((project.outputs / "_control" / "workflow_state.json").read_text())
    assert state["state"] == "SWEEP_RUNNING"
    gate.touch()


def test_a_selection_of_the_config_is_what_is_trained(
    new_project: Callable[..., Any],
) -> None:
    project = new_project(rows=[f"run{n},default.py,{n},," for n in range(5)])
    project.configure(SWEEP_MATCH="run[1-4]", SWEEP_START_AT="run2", SWEEP_LIMIT="2")
    flown = project.flow(*ALL)
    assert flown.code == 0, flown.output
    states = {r["run_id"]: r["state"] for r in flown.record("flow.summary")["rows"]}
    assert [name for name, state in states.items() if state == "success"] == ["run2", "run3"]
    assert [name for name, state in states.items() if state == "not_selected"] == [
        *("run0", "run1", "run4")
    ]


@pytest.mark.long
def test_a_rerun_adopts_what_is_done_already(new_project: Callable[..., Any]) -> None:
    project = new_project()
    first = project.flow(*ALL)
    assert first.code == 0
    second = project.flow(*ALL)
    assert second.code == 0, second.output
    assert len((project.outputs / "one" / "out" / "argv.json").read_text().splitlines()) == 1
    assert second.record("flow.summary")["counts"]["rows_ok"] == 2


@pytest.mark.long
def test_a_template_is_the_users_own_shell_on_the_pod(new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("one,default.py,7,a=1,",))
    project.configure(
        TRAIN_COMMAND_TEMPLATE='\'echo "$RUN_ID $SEED $OVERRIDES" > "$TRAIN_OUT_DIR/said.txt"\''
    )
    flown = project.flow(*ALL)
    assert flown.code == 0, flown.output
    said = project.root / "reports" / "runs" / "one" / "out" / "said.txt"
    assert said.read_text().split() == ["one", "7", "a=1"]


def test_after_a_halt_the_pod_is_deleted_only_where_the_config_says_so(project: Any) -> None:
    project.configure(
        CHECKOUT_POST_CMD="false", WF_TEARDOWN_ON_FAILURE="delete", WF_DEFAULT_TEARDOWN="keep"
    )
    flown = project.flow(*ALL)
    assert flown.code == 1
    assert flown.record("phase.P90.evidence")["facts"]["deleted"] is True
    assert flown.record("phase.P90.verdict")["phase_pass"] is True
    assert not (project.root / ".wf" / "pod" / "repo").exists()


def test_secrets_reach_the_trainer_and_no_file(
    new_project: Callable[..., Any], clean_environ: dict[str, str]
) -> None:
    secret = "correct-horse-battery"
    clean_environ["MY_API_TOKEN"] = secret
    trainer = (
        "import os, sys\nassert os.environ['MY_API_TOKEN'].startswith('correct')\n"
        "print('the token is', os.environ['MY_API_TOKEN'])\n"
    )
    project = new_project(trainer=trainer)
    project.configure(WF_SECRET_ENV="MY_API_TOKEN")
    flown = project.flow(*ALL)
    assert flown.code == 0, flown.output
    assert "the token is [redacted]" in (project.outputs / "one" / "stdout.log").read_text()
    assert secret not in flown.output
    for path in project.root.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_fetching_a_run_that_has_not_ended_fails(
    new_project: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    project = new_project(rows=(f"one,default.py,1,wait_for={gate},",))
    flown = project.flow("--wf-fetch=run:one")
    assert flown.record("flow.summary")["failure_code"] == 504
    gate.touch()
