"""The scheduled end of a rented pod: moved on while a controller lives, left when it goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_wf.errors import OperationFailed, Unreachable
from pytest_wf.flow.idle_removal import IdleRemoval, Session
from pytest_wf.flow.operations import teardown
from pytest_wf.flow.session import PodSession
from pytest_wf.loopback import Fault
from pytest_wf.wire import fsm
from tests.pods.conftest import SHORT_LIUM_TIMING
from tests.support.waiting import until

Renters = Callable[..., Any]


class Idle:
    """A session with a pod, as far as its end is concerned."""

    def __init__(self, it: Any) -> None:
        self.it = it
        self.state = fsm.CHECKED_OUT
        self.longest_s: int | None = None
        self.tasks: list[dict[str, Any]] = []
        rented = it.rent()
        self.session = SimpleNamespace(
            lost="",
            provider=it.provider,
            config=it.config,
            target=rented.target,
            project=SimpleNamespace(root=it.project),
            state=lambda: {"state": self.state},
            request=lambda op: {"manifest": {"longest_s": self.longest_s}}.get(
                op, {"tasks": self.tasks}
            ),
        )
        self.removal = IdleRemoval(cast(Session, self.session), pause_s=0.05)

    @property
    def ends(self) -> datetime | None:
        removal_at: datetime | None = self.it.api.account.billed()[0].removal_at
        return removal_at

    @property
    def left_s(self) -> float:
        assert self.ends is not None
        return (self.ends - datetime.now(timezone.utc)).total_seconds()


def test_the_end_is_moved_on_until_the_controller_goes_and_stays_then(lium_renter: Renters) -> None:
    idle = Idle(lium_renter(wf_idle_delete_secs=3000))
    idle.removal.schedule()
    first = idle.ends
    assert first is not None
    until(lambda: idle.ends is not None and idle.ends > first)
    idle.removal.stop()
    assert 2900 < idle.left_s <= 3000
    assert idle.removal.renewals >= 1
    asked = idle.it.api.requests.count("schedule")
    assert idle.removal.facts()["idle_error"] == ""
    assert idle.it.api.requests.count("schedule") == asked


def test_an_api_that_is_down_is_told_and_asked_again(lium_renter: Renters) -> None:
    idle = Idle(lium_renter(timing=SHORT_LIUM_TIMING, wf_idle_delete_secs=3000))
    idle.removal.schedule()
    fault = Fault("schedule", "503", times=-1)
    idle.it.api.behaviour.faults.append(fault)
    idle.it.api.behaviour.faults.append(Fault("pods", "503", times=-1))
    until(lambda: idle.removal.last_error)
    idle.it.api.behaviour.faults.clear()
    until(lambda: not idle.removal.last_error)
    idle.removal.stop()
    assert 2900 < idle.left_s <= 3000


def test_an_end_that_was_set_without_an_answer_is_taken_back_before_a_sweep(
    lium_renter: Renters,
) -> None:
    idle = Idle(lium_renter(timing=SHORT_LIUM_TIMING, wf_idle_delete_secs=3000))
    faults = idle.it.api.behaviour.faults
    faults += [Fault("schedule", "drop-after", times=-1), Fault("pods", "503", times=-1)]
    with pytest.raises(OperationFailed, match="read back"):
        idle.removal.schedule()
    idle.removal.stop()
    faults.clear()
    assert idle.ends is not None
    idle.removal.cancel()
    assert idle.ends is None


def test_who_has_lost_the_pod_to_another_moves_its_end_no_more(lium_renter: Renters) -> None:
    idle = Idle(lium_renter(wf_idle_delete_secs=3000))
    idle.removal.schedule()
    idle.session.lost = "another controller has it"
    until(lambda: "another controller" in idle.removal.last_error)
    told, asked = idle.ends, idle.it.api.requests.count("schedule")
    idle.removal.stop()
    assert (idle.ends, idle.it.api.requests.count("schedule")) == (told, asked)


def test_whatever_goes_wrong_once_the_end_is_moved_on_again(
    lium_renter: Renters, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = Idle(lium_renter(wf_idle_delete_secs=3000))
    idle.removal.schedule()

    def fail(*_: object) -> str:
        raise ValueError("a page that is no JSON")

    with monkeypatch.context() as broken:
        broken.setattr(type(idle.it.provider), "schedule_removal", fail)
        until(lambda: "no JSON" in idle.removal.last_error)
    renewals = idle.removal.renewals
    until(lambda: idle.removal.renewals > renewals)
    idle.removal.stop()
    assert idle.removal.last_error == ""


def test_over_a_sweep_it_counts_from_the_last_end_that_its_rows_can_have(
    lium_renter: Renters,
) -> None:
    idle = Idle(lium_renter(wf_idle_delete_secs=3000))
    idle.removal.schedule()
    idle.removal.cancel()
    assert idle.ends is None
    idle.state, idle.longest_s = fsm.SWEEP_RUNNING, 50_000
    idle.removal.schedule()
    assert 52_000 < idle.left_s <= 53_000
    idle.longest_s = None
    assert "end time is unknown" in idle.removal.schedule()
    assert idle.ends is None
    idle.removal.stop()


def task(state: str, timeout_s: int | None, processes: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"task_id": "t", "state": state, "timeout_s": timeout_s, "processes": list(processes)}


def test_over_a_task_it_counts_from_the_end_that_the_task_must_have(lium_renter: Renters) -> None:
    idle = Idle(lium_renter(wf_idle_delete_secs=3000))
    idle.tasks = [task("failed", 7), task("running", 50_000), task("lost", 0)]
    idle.removal.schedule()
    assert 52_000 < idle.left_s <= 53_150
    for unknown in (task("running", 0), task("unreadable", None), task("lost", 60, (17,))):
        idle.tasks = [task("success", 5), unknown]
        assert (
            f"task t is {unknown['state']} and its end time is unknown" in idle.removal.schedule()
        )
        assert idle.ends is None
    idle.removal.stop()


def test_a_new_pod_that_never_answered_ends_too_and_one_that_is_gone_costs_no_phase(
    lium_renter: Renters,
) -> None:
    idle = Idle(lium_renter(wf_idle_delete_secs=3000))
    idle.session.idle_removal, idle.session.is_open = idle.removal, False

    def state() -> dict[str, Any]:
        raise Unreachable("nobody answers.")

    idle.session.state = state
    session = cast(PodSession, idle.session)
    known = teardown.keep(session, usd_per_hour=None).facts
    assert (idle.ends, "idle_removal" in known) == (None, False)
    assert teardown.keep(session, usd_per_hour=None, is_new=True).facts["idle_error"] == ""
    assert 2900 < idle.left_s <= 3000
    idle.it.api.account.pods.clear()
    gone = teardown.keep(session, usd_per_hour=None, is_new=True).facts
    assert str(gone["idle_removal"]).startswith("unknown: the end of ")


def test_what_could_not_be_launched_leaves_the_end_armed(lium_renter: Renters) -> None:
    idle = Idle(lium_renter(wf_idle_delete_secs=3000))
    idle.removal.schedule()

    def launch() -> None:
        with idle.removal.suspended():
            assert idle.ends is None
            raise OperationFailed("run-exists", "they stand already.")

    with pytest.raises(OperationFailed, match="stand already"):
        launch()
    assert 2900 < idle.left_s <= 3000
    idle.removal.stop()


def test_a_time_to_live_that_ends_earlier_stays(lium_renter: Renters) -> None:
    idle = Idle(lium_renter(wf_idle_delete_secs=9000, lium_ttl="1h"))
    idle.removal.schedule()
    assert 3000 < idle.left_s <= 3600
    idle.removal.cancel()
    assert 3000 < idle.left_s <= 3600
    idle.removal.stop()


def test_an_end_that_the_provider_does_not_move_is_not_taken_for_the_new_one(
    lium_renter: Renters,
) -> None:
    idle = Idle(lium_renter(timing=SHORT_LIUM_TIMING, wf_idle_delete_secs=3000))
    idle.removal.schedule()
    idle.it.api.behaviour.ignore_schedule = True
    idle.state, idle.longest_s = fsm.SWEEP_RUNNING, 50_000
    with pytest.raises(OperationFailed, match="could not be set to"):
        idle.removal.schedule()
    with pytest.raises(OperationFailed, match="could not be set to never"):
        idle.removal.cancel()
    idle.removal.stop()
