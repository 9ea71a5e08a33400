"""The pod's state around the requests of a phase, from their answers alone."""

from __future__ import annotations

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.rpc.phase_states import PhaseStates
from tests.support.agent_pod import OWNER


def answered(states: PhaseStates, before: str | None, after: str | None) -> None:
    states.sent()
    states.hear({"states": [before, after]})


def test_a_phase_has_the_state_before_its_first_request_and_after_its_last() -> None:
    states = PhaseStates()
    answered(states, "POD_READY", "BOOTSTRAPPED")
    states.begin()
    answered(states, "BOOTSTRAPPED", "BOOTSTRAPPED")
    answered(states, "BOOTSTRAPPED", "CHECKED_OUT")

    assert (states.before, states.after) == ("BOOTSTRAPPED", "CHECKED_OUT")


def test_nothing_is_known_of_a_phase_before_its_first_answer() -> None:
    states = PhaseStates()
    answered(states, "POD_READY", "BOOTSTRAPPED")
    states.begin()

    assert (states.before, states.after) == (None, None)


def test_the_state_is_not_known_while_a_request_has_no_answer() -> None:
    states = PhaseStates()
    answered(states, "CHECKED_OUT", "CHECKED_OUT")
    states.sent()

    assert states.after is None


def test_a_request_that_is_sent_again_may_have_been_carried_out_before() -> None:
    states = PhaseStates()
    answered(states, "BOOTSTRAPPED", "CHECKED_OUT")
    states.begin()
    states.sent()
    answered(states, "SWEEP_RUNNING", "SWEEP_RUNNING")

    assert (states.before, states.after) == ("CHECKED_OUT", "SWEEP_RUNNING")


def test_what_is_no_pair_of_states_is_not_known() -> None:
    states = PhaseStates()
    answered(states, None, None)
    for wrong in ({"states": "INIT"}, {"states": ["INIT"]}, {"states": [1, {}]}, {}):
        states.sent()
        states.hear(wrong)

    assert (states.before, states.after) == (None, None)


def test_the_agent_says_the_state_before_and_after_a_request(local: AgentClient) -> None:
    local.states = states = PhaseStates()
    local.token = local.request("lease-take", {"owner": OWNER})["token"]
    local.request("config-sync")
    local.request("ready", {"flow_id": "f-1"})

    assert (states.before, states.after) == ("INIT", "POD_READY")


def test_a_refusal_says_the_state_too(local: AgentClient) -> None:
    local.states = states = PhaseStates()
    with pytest.raises(OperationFailed):
        local.request("campaign")

    assert (states.before, states.after) == ("INIT", "INIT")
