"""Each halt that a sweep under way, stopped or lost brings: what the verdict names leads on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hints import halt, halted
from tests.support.waiting import until

ALL = ("--wf-wait=true", "--wf-fetch=all")
RESUME = ("--wf-sweep=resume", *ALL)

pytestmark = pytest.mark.long

#: Waits for the end of the latest campaign, and removes its records.
_LOSE_CAMPAIGN = """\
import json, pathlib, shutil, time
control = pathlib.Path(wf_flow.state.project.config.ops_remote_outputs_dir, "_control")
while json.loads((control / "workflow_state.json").read_text())["state"] != "SWEEP_COMPLETED":
    time.sleep(0.1)
latest = json.loads((control / "campaigns" / "latest.json").read_text())
shutil.rmtree(control / "campaigns" / latest["campaign_id"])
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that the second row waits for; there at the latest when the test has ended."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()


@pytest.fixture
def gated(new_project: Callable[..., Any], gate: Path) -> Any:
    """A project whose second row trains until `gate` is there."""
    two = f"two,default.py,2,wait_for={gate},"
    return new_project(rows=("one,default.py,1,,", two, "three,default.py,3,,"))


def _row_two_trains(project: Any) -> bool:
    log = project.outputs / "two" / "stdout.log"
    return log.exists() and "training two" in log.read_text()


@pytest.mark.failure("no-campaign")
def test_a_resume_of_nothing(project: Any) -> None:
    assert project.flow("--wf-sweep=skip").code == 0
    halt(project, "no-campaign", *RESUME).leads_on()


@pytest.mark.failure("sweep-running")
def test_a_csv_that_was_edited_while_rows_train(gated: Any, gate: Path) -> None:
    assert gated.flow().code == 0
    csv = gated.root / "flows" / "sweep.csv"
    csv.write_text(csv.read_text() + "four,default.py,4,,\n")
    hint = halt(gated, "sweep-running", *RESUME)
    gate.touch()
    hint.leads_on()
    assert "3 adopted" in gated.flow(*ALL).output


@pytest.mark.failure("lease-held")
def test_a_pod_that_another_controller_holds(gated: Any, gate: Path) -> None:
    run = gated.start("--wf-wait=true")
    until(lambda: _row_two_trains(gated), "row two trains")
    hint = halt(gated, "lease-held", *RESUME)
    assert str(run.process.pid) in hint.leads_on()
    gate.touch()
    assert run.wait().code == 0, run.output
    assert gated.flow(*RESUME).code == 0


@pytest.mark.failure("wait-exhausted")
def test_a_wait_that_is_used_up(gated: Any, gate: Path) -> None:
    gated.configure(WF_FLOW_WAIT_MAX_POLLS="1")
    hint = halt(gated, "wait-exhausted", *ALL)
    gate.touch()
    gated.configure(WF_FLOW_WAIT_MAX_POLLS="600")
    hint.leads_on()


@pytest.mark.failure("sweep-stalled")
def test_a_sweep_whose_supervisor_is_gone(gated: Any, gate: Path) -> None:
    run = gated.start(*ALL)
    until(lambda: _row_two_trains(gated), "row two trains")
    (record,) = (gated.outputs / "_control").rglob("supervisor.json")
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    gate.touch()
    hint = halted(gated, "sweep-stalled", run.wait())
    hint.leads_on()


@pytest.mark.failure("budget")
def test_a_ceiling_on_costs_where_no_price_is_known(project: Any) -> None:
    project.configure(WF_MAX_USD="10")
    hint = halt(project, "budget", *ALL)
    project.configure(WF_MAX_USD="")
    hint.leads_on()


@pytest.mark.failure("unfetched")
def test_a_deletion_before_the_fetch(project: Any) -> None:
    hint = halt(project, "unfetched", "--wf-wait=true", "--wf-teardown=delete")
    hint.leads_on()
    assert project.flow("--wf-sweep=skip", "--wf-teardown=delete").code == 0


@pytest.mark.failure("state-unreadable")
def test_a_campaign_whose_records_are_damaged(project: Any) -> None:
    assert project.flow(*ALL).code == 0
    for path in (project.outputs / "_control").rglob("campaign.json*"):
        path.write_text("{")
    hint = halt(project, "state-unreadable", *RESUME)
    hint.leads_on()


@pytest.mark.failure("campaign-changed")
def test_a_pod_that_lost_its_latest_campaign(project: Any) -> None:
    assert project.flow(*ALL).code == 0
    project.configure(SWEEP_FORCE="1")
    project.phase("P65", _LOSE_CAMPAIGN)
    hint = halt(project, "campaign-changed", *ALL)
    (project.root / "flows" / "test_mine.py").unlink()
    hint.leads_on()


@pytest.mark.failure("lease-lost")
def test_a_pod_that_was_taken_over_while_its_controller_slept(gated: Any, gate: Path) -> None:
    run = gated.start(*ALL)
    until(lambda: _row_two_trains(gated), "row two trains")
    run.process.send_signal(signal.SIGSTOP)
    until(lambda: gated.wf("sweep-stop").returncode == 0, "its lease has expired", 120)
    run.process.send_signal(signal.SIGCONT)
    gate.touch()
    hint = halted(gated, "lease-lost", run.wait())
    hint.leads_on()
    assert gated.flow(*RESUME).code == 0
