"""The pod's states: which command is legal in which of them, and where it leads."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pytest_wf.wire import fsm

ALL = set(fsm.STATES)
GONE = {fsm.INIT, fsm.POD_TERMINATED}

LEGAL = {
    "pod-status": ALL,
    "bootstrap": ALL - GONE - {fsm.SWEEP_RUNNING, fsm.ARTIFACTS_FETCHING},
    "checkout": {
        fsm.BOOTSTRAPPED,
        fsm.CHECKED_OUT,
        fsm.SWEEP_STALLED,
        fsm.SWEEP_COMPLETED,
        fsm.ARTIFACTS_SYNCED,
    },
    "sweep-start": {
        fsm.CHECKED_OUT,
        fsm.SWEEP_STALLED,
        fsm.SWEEP_COMPLETED,
        fsm.ARTIFACTS_SYNCED,
    },
    "sweep-resume": ALL - GONE - {fsm.POD_READY, fsm.BOOTSTRAPPED},
    "sweep-assign": {fsm.SWEEP_RUNNING, fsm.SWEEP_COMPLETED, fsm.ARTIFACTS_SYNCED},
    "sweep-end": {fsm.SWEEP_RUNNING},
    "fetch": ALL - GONE,
    "task-run": ALL - GONE,
    "pod-delete": ALL - {fsm.SWEEP_RUNNING, fsm.ARTIFACTS_FETCHING},
    "fsm-reset": ALL,
}
WATCHING = ("sweep-status", "sweep-watch", "logs", "doctor")


@pytest.mark.parametrize("command", sorted(LEGAL))
def test_a_command_is_legal_in_exactly_the_states_of_the_table(command: str) -> None:
    assert fsm.COMMANDS[command].legal_in == LEGAL[command]


@pytest.mark.parametrize("command", WATCHING)
def test_watching_is_legal_anywhere_and_changes_nothing(command: str) -> None:
    rule = fsm.COMMANDS[command]

    assert rule.legal_in == ALL
    assert not rule.leaves


def test_a_running_sweep_survives_pod_status_and_refuses_checkout() -> None:
    assert fsm.is_legal("pod-status", fsm.SWEEP_RUNNING, fsm.SWEEP_RUNNING)
    assert not fsm.is_legal("checkout", fsm.SWEEP_RUNNING, fsm.CHECKED_OUT)


@pytest.mark.parametrize("state", [fsm.POD_READY, fsm.BOOTSTRAPPED, fsm.CHECKED_OUT])
def test_a_fetch_leaves_a_pod_alone_on_which_no_sweep_was_started_since(state: str) -> None:
    assert fsm.is_legal("fetch", state, state)
    assert not fsm.is_legal("fetch", state, fsm.ARTIFACTS_FETCHING)


def test_an_illegal_command_names_the_states_and_the_way_out() -> None:
    with pytest.raises(fsm.IllegalTransition) as refused:
        fsm.check("sweep-start", fsm.SWEEP_RUNNING)

    text = str(refused.value)
    assert "the pod is in SWEEP_RUNNING" in text
    assert "CHECKED_OUT, SWEEP_STALLED, SWEEP_COMPLETED or ARTIFACTS_SYNCED" in text
    assert "--wf-sweep=resume" in text


def test_an_unknown_command_is_a_bug_not_a_refusal() -> None:
    with pytest.raises(KeyError):
        fsm.check("make-coffee", fsm.INIT)


def test_a_phase_of_a_users_own_leaves_the_state_alone() -> None:
    assert fsm.is_legal("warm-cache", fsm.CHECKED_OUT, fsm.CHECKED_OUT)
    assert not fsm.is_legal("warm-cache", fsm.CHECKED_OUT, fsm.SWEEP_RUNNING)
    assert not fsm.is_legal(None, fsm.CHECKED_OUT, fsm.INIT)


@pytest.mark.parametrize("state", sorted(ALL - {fsm.ARTIFACTS_FETCHING}))
def test_only_fetching_depends_on_a_living_controller(state: str) -> None:
    assert fsm.settled(state, fsm.INIT, lease_alive=False) == state


def test_fetching_falls_back_when_its_controller_is_gone() -> None:
    fetching, before = fsm.ARTIFACTS_FETCHING, fsm.SWEEP_COMPLETED

    assert fsm.settled(fetching, before, lease_alive=True) == fetching
    assert fsm.settled(fetching, before, lease_alive=False) == before


class Pod(RuleBasedStateMachine):
    """Any run of commands: the table is obeyed, and a resume can always go on."""

    def __init__(self) -> None:
        super().__init__()
        self.state = fsm.INIT
        self.has_campaign = False

    def give(self, command: str, to: str) -> None:
        before = self.state
        if before not in fsm.COMMANDS[command].legal_in:
            with pytest.raises(fsm.IllegalTransition) as refused:
                fsm.check(command, before)
            assert refused.value.way_out, f"{command} in {before} leaves no way out"
            return
        fsm.check(command, before)
        assert fsm.is_legal(command, before, to), (command, before, to)
        self.state = to
        self.has_campaign |= command == "sweep-start"

    @rule()
    def pod_status(self) -> None:
        self.give("pod-status", fsm.POD_READY if self.state in GONE else self.state)

    @rule()
    def bootstrap(self) -> None:
        self.give("bootstrap", fsm.BOOTSTRAPPED)

    @rule()
    def checkout(self) -> None:
        self.give("checkout", fsm.CHECKED_OUT)

    @rule()
    def start(self) -> None:
        self.give("sweep-start", fsm.SWEEP_RUNNING)

    @precondition(lambda self: self.state == fsm.SWEEP_RUNNING)
    @rule(well=st.booleans())
    def sweep_ends(self, well: bool) -> None:
        self.give("sweep-end", fsm.SWEEP_COMPLETED if well else fsm.SWEEP_STALLED)

    @precondition(lambda self: self.has_campaign)
    @rule(left=st.booleans())
    def resume(self, left: bool) -> None:
        self.give("sweep-resume", fsm.SWEEP_RUNNING if left else fsm.SWEEP_COMPLETED)

    @precondition(lambda self: self.state not in fsm.COMMANDS["fetch"].stays_in)
    @precondition(lambda self: self.state != fsm.SWEEP_RUNNING)
    @rule(whole=st.booleans(), dies=st.booleans())
    def fetch(self, whole: bool, dies: bool) -> None:
        before = self.state
        self.give("fetch", fsm.ARTIFACTS_FETCHING)
        if self.state != fsm.ARTIFACTS_FETCHING:
            return
        if dies or not whole:
            self.state = fsm.settled(self.state, before, lease_alive=False)
        else:
            self.give("fetch", fsm.ARTIFACTS_SYNCED)

    @rule()
    def delete(self) -> None:
        self.give("pod-delete", fsm.POD_TERMINATED)

    @invariant()
    def the_state_is_one_of_the_ten(self) -> None:
        assert self.state in fsm.STATES

    @invariant()
    def a_flow_can_always_go_on(self) -> None:
        """From anywhere P30 leads to a state in which bootstrap or resume is legal."""
        ready = fsm.POD_READY if self.state in GONE else self.state
        assert ready in fsm.COMMANDS["bootstrap"].legal_in | fsm.COMMANDS["sweep-resume"].legal_in


TestPod = Pod.TestCase
TestPod.settings = settings(max_examples=60, stateful_step_count=30)
