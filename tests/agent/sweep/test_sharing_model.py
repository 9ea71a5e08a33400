"""Rows that move between pods: none runs twice while its pod lives, and none is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from pytest_wf.agent.control import shard
from pytest_wf.agent.sweep.sharing import claims
from pytest_wf.flow.fleet import rebalance
from pytest_wf.flow.fleet.rebalance import GONE, UNKNOWN, Cede, Give
from tests.support.fleet_model import MEMBERS, ROWS, Fleet, Lost, Violation, without_processes

PODS = st.sampled_from(range(len(MEMBERS)))
#: Members of rows: the first one has the most.
MEMBER = st.sampled_from([0, 0, 0, 1, 2])
#: What becomes of a request: most are answered.
FATES = st.sampled_from(
    [*["done"] * 6, *["late-died"] * 2, "twice", "unanswered", "late", "lost", "died"]
)


class Schedule(RuleBasedStateMachine):
    """One schedule of what happens to a fleet; each rule may happen at any time."""

    #: Where its pods are, and the fleet that launches go to.
    folders: Iterator[Path]
    fleets: list[Fleet]

    @initialize(members=st.lists(MEMBER, min_size=len(ROWS), max_size=len(ROWS)))
    def the_campaign_is_frozen(self, members: list[int]) -> None:
        self.fleet = Fleet(next(self.folders), members)
        self.fleets[:] = [self.fleet]

    @rule(pod=PODS)
    def a_supervisor_begins_its_next_row(self, pod: int) -> None:
        self.fleet.begin(self.fleet.pods[pod])

    @rule()
    def all_supervisors_begin_their_next_row(self) -> None:
        for pod in self.fleet.pods:
            self.fleet.begin(pod)

    @rule(pod=PODS)
    def a_row_ends_and_another_begins(self, pod: int) -> None:
        self.fleet.run(self.fleet.pods[pod])

    @rule(data=st.data())
    def the_controller_looks(self, data: Any) -> None:
        self.fleet.look(lambda: data.draw(FATES))

    @rule(data=st.data())
    def the_controller_looks_again(self, data: Any) -> None:
        self.fleet.look(lambda: data.draw(FATES))

    @rule()
    def the_controller_is_killed(self) -> None:
        self.fleet.forget()

    @rule(pod=PODS)
    def a_link_breaks_or_is_back(self, pod: int) -> None:
        self.fleet.pods[pod].is_linked = not self.fleet.pods[pod].is_linked

    @rule(pod=PODS)
    def a_late_request_arrives(self, pod: int) -> None:
        self.fleet.deliver(self.fleet.pods[pod])

    @rule(pod=PODS, is_proved=st.booleans())
    def a_pod_vanishes(self, pod: int, is_proved: bool) -> None:
        self.fleet.vanish(self.fleet.pods[pod])
        if is_proved:
            self.fleet.prove_gone(self.fleet.pods[pod])

    def teardown(self) -> None:
        if hasattr(self, "fleet"):
            self.fleet.settle()


@pytest.fixture
def fleets(monkeypatch: pytest.MonkeyPatch) -> list[Fleet]:
    """The fleet that launches go to, once it is put there."""
    found: list[Fleet] = []
    without_processes(monkeypatch, found)
    return found


@pytest.fixture
def explore(tmp_path: Path, fleets: list[Fleet]) -> Callable[[int], None]:
    """Tries so many schedules, the same ones each time: ``explore(100)``."""

    class Here(Schedule):
        folders = (tmp_path / str(number) for number in itertools.count())

    Here.fleets = fleets

    def run(schedules: int) -> None:
        options = settings(
            max_examples=schedules,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Here, settings=options)

    return run


def test_no_row_runs_twice_and_none_is_lost(explore: Callable[[int], None]) -> None:
    explore(100)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_row_runs_twice_and_none_is_lost_in_10_000_schedules(
    explore: Callable[[int], None],
) -> None:
    explore(10_000)


def _begin_without_a_claim(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claims, "begin", lambda campaign, run_id: None)


def _cede_what_has_begun(patch: pytest.MonkeyPatch) -> None:
    cede = claims.cede

    def careless(session: Any, campaign: Any, rows: Any, to: str) -> Any:
        def blind(campaign: Any) -> Any:
            found = shard.of(campaign)
            assert found is not None
            return found._replace(begun=frozenset())

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(claims, "_shard", blind)
            inner.setattr(shard, "write", _overwrite)
            return cede(session, campaign, rows, to)

    write = shard.write

    def _overwrite(campaign: Any, kind: str, key: Any, body: Any) -> None:
        write(campaign, kind, key, body)
        shard._read.clear()
        shard._known.clear()

    patch.setattr(claims, "cede", careless)


def _take_unknown_for_gone(patch: pytest.MonkeyPatch) -> None:
    decide = rebalance.decide

    def rash(members: Any, *args: Any, **more: Any) -> Any:
        seen = [m._replace(contact=GONE) if m.contact == UNKNOWN else m for m in members]
        return decide(seen, *args, **more)

    patch.setattr(rebalance, "decide", rash)


def _recover_while_a_member_is_unknown(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rebalance, "_all_answer", lambda members: True)


def _record_with_the_owner_alone(patch: pytest.MonkeyPatch) -> None:
    recorded = rebalance._recorded_first

    def own(living: Any, owners: Any) -> Any:
        steps = recorded(living, owners)
        return [
            step
            for step in steps
            if isinstance(step, Give) and any(o.member == step.member for o in step.rows.values())
        ]

    patch.setattr(rebalance, "_recorded_first", own)


def _forget_what_was_ceded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rebalance, "_deliveries", lambda members, known: [])


def _accept_any_epoch(patch: pytest.MonkeyPatch) -> None:
    def anything(campaign: Any, rows: Any) -> Any:
        return claims.Given(dict(rows), dict(rows), {})

    def newest(session: Any, campaign: Any, rows: Any) -> Any:
        found = shard.of(campaign)
        assert found is not None
        for run_id, owner in rows.items():
            epoch = max(owner.epoch, found.owners[run_id].epoch + 1)
            body = {"owner": [owner.member, epoch]}
            shard.write(campaign, shard.GIVEN_ROWS, (run_id, epoch), body)
        return claims.Given(dict(rows), dict(rows), {})

    patch.setattr(claims, "given", anything)
    patch.setattr(claims, "give", newest)


def _all_with_pod1(fleet: Fleet) -> None:
    """pod1 has all rows, trains the first and has ceded others, which their receivers have."""
    fleet.begin(fleet.pods[0])
    fleet.look()
    fleet.look()


def _a_row_is_asked_for_that_has_begun(fleet: Fleet) -> None:
    fleet.begin(fleet.pods[0])
    with suppress(Lost):
        fleet.send(Cede("pod1", "pod2", {ROWS[0].run_id: 1}), "done")


def _pod1_is_not_reached(fleet: Fleet) -> None:
    fleet.begin(fleet.pods[0])
    fleet.pods[0].is_linked = False
    fleet.look()
    fleet.run(*fleet.pods[1:], rows=3)


def _pod1_is_gone_and_pod2_not_reached(fleet: Fleet) -> None:
    _all_with_pod1(fleet)
    fleet.run(fleet.pods[1])
    fleet.forget()
    fleet.vanish(fleet.pods[0])
    fleet.prove_gone(fleet.pods[0])
    fleet.pods[1].is_linked = False
    fleet.look()
    fleet.run(fleet.pods[2], rows=12)


def _a_request_arrives_after_a_recovery(fleet: Fleet) -> None:
    fleet.begin(fleet.pods[0])
    fleet.look()
    fleet.look(lambda: "late-died")
    fleet.vanish(fleet.pods[0])
    fleet.prove_gone(fleet.pods[0])
    fleet.look()
    fleet.run(fleet.pods[2], rows=12)
    fleet.deliver(fleet.pods[1])
    fleet.run(fleet.pods[1], rows=12)


def _the_controller_dies_between_cede_and_give(fleet: Fleet) -> None:
    fleet.begin(fleet.pods[0])
    fleet.look()
    fleet.forget()


def _a_request_arrives_a_second_time(fleet: Fleet) -> None:
    fleet.begin(fleet.pods[0])
    fleet.look()
    fleet.look(lambda: "twice")
    fleet.begin(fleet.pods[1])
    fleet.run(fleet.pods[0], fleet.pods[2], rows=12)
    fleet.look()
    fleet.look()
    fleet.run(fleet.pods[0], fleet.pods[2], rows=12)
    fleet.deliver(fleet.pods[1])
    fleet.run(fleet.pods[1], rows=12)


#: Each guard: how it is removed, and a schedule that only it makes safe.
GUARDS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Callable[[Fleet], None]]] = {
    "a row begins with a claim": (_begin_without_a_claim, _all_with_pod1),
    "a row that has begun is not ceded": (_cede_what_has_begun, _a_row_is_asked_for_that_has_begun),
    "an unknown member is not gone": (_take_unknown_for_gone, _pod1_is_not_reached),
    "rows are recovered while all others answer": (
        _recover_while_a_member_is_unknown,
        _pod1_is_gone_and_pod2_not_reached,
    ),
    "all others record a recovery first": (
        _record_with_the_owner_alone,
        _a_request_arrives_after_a_recovery,
    ),
    "a ceded row is given to its receiver": (
        _forget_what_was_ceded,
        _the_controller_dies_between_cede_and_give,
    ),
    "a lower epoch changes nothing": (_accept_any_epoch, _a_request_arrives_a_second_time),
}


def _to_the_end(schedule: Callable[[Fleet], None], fleet: Fleet) -> None:
    schedule(fleet)
    fleet.settle()


@pytest.mark.parametrize("guard", GUARDS)
def test_this_guard_removed_a_row_runs_twice_or_is_lost(
    guard: str, tmp_path: Path, fleets: list[Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, schedule = GUARDS[guard]
    fleets[:] = [Fleet(tmp_path / "guarded", [0] * len(ROWS))]
    _to_the_end(schedule, fleets[0])
    remove(monkeypatch)
    fleets[:] = [Fleet(tmp_path / "unguarded", [0] * len(ROWS))]
    with pytest.raises(Violation):
        _to_the_end(schedule, fleets[0])
