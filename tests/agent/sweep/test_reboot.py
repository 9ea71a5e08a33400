"""A pod that restarts in the middle of a sweep: a pid namespace with a boot id of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from tests.support.machine import InsideConnection, Machine, why_not
from tests.support.sweep_pod import make_row, ready_pod
from tests.support.waiting import until


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine that has booted."""
    folder = tmp_path / "machine"
    folder.mkdir()
    made = Machine(folder)
    made.boot()
    yield made
    made.halt()


@pytest.mark.fault("P1", "P2")
@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize("same_id", [False, True], ids=["a reboot", "a container's restart"])
def test_after_a_reboot_the_sweep_ends_and_no_row_ran_twice_without_a_recorded_attempt(
    machine: Machine, sweep_values: dict[str, str], same_id: bool
) -> None:
    pod = ready_pod(AgentClient(InsideConnection(machine), sweep_values), sweep_values)
    pod.trainer(
        "with open(outputs / 'begun', 'a') as f: f.write(os.environ['RUN_ID'] + '\\n')\n"
        "print('up', flush=True)\n"
        "while os.environ['RUN_ID'] != 'a' and not (outputs / 'go').exists(): time.sleep(0.02)\n"
    )
    pod.start(make_row("a"), make_row("b"), make_row("c"))
    until(lambda: pod.rows()["b"]["state"] == "running", "row b is at work")
    pod.wait_for_file("b/attempts/1/stdout.log")
    until(lambda: "up" in (pod.outputs / "b/attempts/1/stdout.log").read_text(), "b is up")
    machine.halt()
    pod.client.close()
    machine.boot(same_id=same_id)
    pod.client = AgentClient(InsideConnection(machine), sweep_values)
    status = pod.status()
    assert (status["supervisor"], status["state"]) == ("gone", fsm.SWEEP_STALLED)
    assert [row["state"] for row in status["rows"]] == ["success", "lost", "pending"]
    assert (status["ok"], status["failed"], status["in_progress"]) == (1, 0, 1)
    pod.take_lease(flow_id="f-after")
    (pod.outputs / "go").touch()
    assert pod.resume()["to_run"] == ["b", "c"]
    status = pod.ended()
    assert (status["ok"], status["state"]) == (3, fsm.SWEEP_COMPLETED)
    assert [row["attempts"] for row in status["rows"]] == [1, 2, 1]
    assert (pod.outputs / "begun").read_text().split() == ["a", "b", "b", "c"]
    first = pod.read("b/attempts/1/result.json")
    assert (first["failure_class"], first["reason"]) == (
        "preempted",
        "the pod was restarted",
    )
    pod.client.close()
