"""Rows that move between pods: none runs twice while its pod lives, and none is lost."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from pytest_wf.agent.control import shard
from pytest_wf.agent.sweep.sharing import claims
from pytest_wf.flow.fleet import rebalance
from pytest_wf.flow.fleet.rebalance import GONE, UNKNOWN, Cede, Give
from tests.support.fleet_model import MEMBERS, ROWS, Fleet, Lost, Violation, without_processes

PODS = st.sampled_from(range(len(MEMBERS)))
#: Members of rows: the first one has the most, or all.
MEMBERS_OF_ROWS = st.sampled_from([[0], [0, 0, 0, 1, 2]]).flatmap(
    lambda some: st.lists(st.sampled_from(some), min_size=len(ROWS), max_size=len(ROWS))
)
#: What becomes of a request: most are answered.
FATES = st.sampled_from(
    [*["done"] * 6, *["late-died"] * 2, "twice", "unanswered", "late", "lost", "died"]
)
#: What happens to a fleet, and how often beside the rest. Pods vanish seldom: too little happens
#: once they have.
WEIGHTS = {
    "the controller looks": 10,
    "a supervisor begins a row": 6,
    "a row ends and another begins": 8,
    "a late request arrives": 3,
    "a link breaks": 2,
    "a link is back": 4,
    "the controller is killed": 2,
    "a pod vanishes": 1,
    "a pod is proved gone that is": 4,
}
EVENTS = st.sampled_from([event for event, weight in WEIGHTS.items() for _ in range(weight)])
#: What happens in any hundred schedules.
USUAL = (
    *("controller killed", "link broken", "pod vanished"),
    *("row begun on a pod that it moved to", "row begun again", "late request arrived"),
)


class Schedule(RuleBasedStateMachine):
    """One schedule of what happens to a fleet; each rule may happen at any time."""

    #: Where its pods are, and the fleet that launches go to.
    folders: Iterator[Path]
    fleets: list[Fleet]
    #: What has happened in all schedules so far.
    happened: Counter[str]

    @initialize(members=MEMBERS_OF_ROWS)
    def the_campaign_is_frozen(self, members: list[int]) -> None:
        self.folder = next(self.folders)
        self.fleet = Fleet(self.folder, members)
        self.fleets[:] = [self.fleet]

    # one rule: of several, hypothesis leaves some out of each schedule
    @rule(event=EVENTS, pod=PODS, data=st.data())
    def this_happens(self, event: str, pod: int, data: Any) -> None:
        fleet, one = self.fleet, self.fleet.pods[pod]
        does: dict[str, Callable[[], None]] = {
            "the controller looks": lambda: fleet.look(lambda: data.draw(FATES)),
            "a supervisor begins a row": lambda: fleet.begin(one),
            "a row ends and another begins": lambda: fleet.run(one),
            "a late request arrives": lambda: fleet.deliver(one),
            "a link breaks": lambda: fleet.link(one, works=False),
            "a link is back": lambda: fleet.link(one, works=True),
            "the controller is killed": fleet.forget,
            "a pod vanishes": lambda: fleet.vanish(one),
            "a pod is proved gone that is": lambda: fleet.prove_gone(one),
        }
        does[event]()

    def teardown(self) -> None:
        if hasattr(self, "fleet"):
            self.happened["schedule"] += 1
            self.happened.update(self.fleet.happened)
            self.fleet.settle()
            shutil.rmtree(self.folder)


@pytest.fixture
def fleets(monkeypatch: pytest.MonkeyPatch) -> list[Fleet]:
    """The fleet that launches go to, once it is put there."""
    found: list[Fleet] = []
    without_processes(monkeypatch, found)
    return found


#: Tries so many schedules of a seed, the same ones each time; what happened in them.
Explore = Callable[[int, int], Counter[str]]


@pytest.fixture
def explore(tmp_path: Path, fleets: list[Fleet]) -> Explore:
    """Raises Violation for the first schedule that is not safe."""
    folders = (tmp_path / str(number) for number in itertools.count())

    def run(schedules: int, number: int) -> Counter[str]:
        class Here(Schedule):
            """The schedules of this call."""

        Here.folders, Here.fleets, Here.happened = folders, fleets, Counter()
        options = settings(
            max_examples=schedules,
            stateful_step_count=80,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(seed(number)(Here), settings=options)
        finally:
            print(f"seed {number}: {dict(Here.happened)}")
        return Here.happened

    return run


@pytest.mark.timeout(1200)
def test_no_row_runs_twice_and_none_is_lost(explore: Explore) -> None:
    happened = explore(100, 0)
    assert happened["schedule"] >= 100
    assert set(USUAL) <= happened.keys()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(1, 11))
def test_no_row_runs_twice_and_none_is_lost_in_ten_times_1000_schedules(
    number: int, explore: Explore
) -> None:
    assert explore(1000, number)["schedule"] >= 1000


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


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("guard", GUARDS)
def test_this_guard_removed_schedules_by_chance_find_it(
    guard: str, explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    GUARDS[guard][0](monkeypatch)
    with pytest.raises(Violation):
        explore(10_000, 0)
