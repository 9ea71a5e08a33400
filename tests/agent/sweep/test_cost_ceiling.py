"""A ceiling on costs, kept by the pod itself: rows at work end, and no further row begins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import frozen_campaign, launches
from pytest_wf.agent.control.cost_ceiling import Ceiling
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

NAME = "WF_MAX_USD=10"
SPENT = {"name": NAME, "seconds": 0}
FAR_AWAY = {"name": NAME, "seconds": 3600}
ROWS = tuple(make_row(name) for name in "abc")
#: Row a waits for a file; one fails where a file says so.
TRAINER = """
with open(outputs / "journal", "a") as journal:
    journal.write(os.environ["RUN_ID"] + "\\n")
while (outputs / "wait").exists() and os.environ["RUN_ID"] == "a": time.sleep(0.02)
sys.exit(3 if (outputs / f"fail-{os.environ['RUN_ID']}").exists() else 0)
"""


@pytest.fixture
def pod(pod: Any) -> Any:
    """A pod whose trainer keeps a journal."""
    pod.trainer(TRAINER)
    return pod


def started(pod: Any) -> list[str]:
    """The rows that were begun, in order."""
    journal: Path = pod.outputs / "journal"
    return journal.read_text().split() if journal.exists() else []


def reach_while_a_works(pod: Any, *rows: dict[str, Any]) -> None:
    """Start `rows`, and wait until the moment has come, at which row a is at work."""
    pod.start(*rows, ceiling=FAR_AWAY)
    until(lambda: started(pod) == ["a"])
    # however late row a began, it comes later
    assert pod.resume_with(ceiling={"name": NAME, "seconds": 1})["attached"] is True
    ceiling = launches.newest(frozen_campaign.find(pod.settings)).ceiling
    assert ceiling is not None
    until(lambda: ceiling.is_reached)


def test_no_row_begins_where_nothing_may_be_spent(pod: Any) -> None:
    pod.start(*ROWS, ceiling=SPENT)
    status = pod.ended()
    assert (status["state"], status["ceiling"]) == (fsm.SWEEP_STALLED, NAME)
    assert status["reason"] == f"{NAME} is reached: no further row begins"
    assert (pod.states(), started(pod)) == (dict.fromkeys("abc", "pending"), [])


def test_a_row_at_work_ends_and_no_other_begins(pod: Any) -> None:
    (pod.outputs / "wait").touch()
    reach_while_a_works(pod, *ROWS)
    (pod.outputs / "wait").unlink()
    status = pod.ended()
    assert (status["state"], status["ceiling"]) == (fsm.SWEEP_STALLED, NAME)
    assert pod.states() == {"a": "success", "b": "pending", "c": "pending"}


def test_a_row_that_failed_is_not_tried_again_when_the_ceiling_is_reached(pod: Any) -> None:
    for name in ("wait", "fail-a"):
        (pod.outputs / name).touch()
    reach_while_a_works(pod, make_row("a", retries=3))
    (pod.outputs / "wait").unlink()
    pod.ended()
    assert (pod.states(), started(pod)) == ({"a": "failed"}, ["a"])


def test_a_resume_that_may_spend_more_runs_what_was_left_once(pod: Any) -> None:
    pod.start(*ROWS, ceiling=SPENT)
    pod.ended()
    pod.resume_with(ceiling={"name": "WF_MAX_USD=20", "seconds": 3600})
    status = pod.ended()
    assert (status["state"], status["ceiling"]) == (fsm.SWEEP_COMPLETED, "")
    assert started(pod) == ["a", "b", "c"]


def test_a_supervisor_that_is_attached_to_takes_on_another_ceiling(pod: Any) -> None:
    (pod.outputs / "wait").touch()
    pod.start(*ROWS)
    until(lambda: started(pod) == ["a"])
    assert pod.resume_with(ceiling=SPENT)["attached"] is True
    (pod.outputs / "wait").unlink()
    assert pod.ended()["ceiling"] == NAME
    assert started(pod) == ["a"]


def test_the_next_supervisor_keeps_to_the_ceiling_after_one_was_killed(pod: Any) -> None:
    (pod.outputs / "wait").touch()
    pod.start(*ROWS, ceiling=FAR_AWAY)
    until(lambda: started(pod) == ["a"])
    pod.kill_supervisor()
    (pod.outputs / "wait").unlink()
    pod.resume_with(ceiling=SPENT)
    assert pod.ended()["ceiling"] == NAME
    assert started(pod) == ["a"]


@pytest.mark.parametrize("asked", [7, {"name": NAME}, {"seconds": "9"}, {"seconds": True}])
def test_a_ceiling_without_a_number_of_seconds_is_refused(pod: Any, asked: object) -> None:
    with pytest.raises(OperationFailed, match="number of seconds"):
        pod.start(*ROWS, ceiling=asked)
    assert started(pod) == []


def test_a_ceiling_is_a_moment_since_the_boot_and_of_the_wall_clock_after_another_boot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ceiling = Ceiling.asked_for({"name": NAME, "seconds": 60})
    assert ceiling is not None and not ceiling.is_reached
    assert Ceiling.from_json(ceiling.as_json()) == ceiling
    monkeypatch.setattr(time, "time", lambda: ceiling.wall_s + 1)
    assert not ceiling.is_reached  # a wall clock that was set forward spends nothing
    assert ceiling._replace(boot_id="another").is_reached
