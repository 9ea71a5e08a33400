"""Laws and contracts are whole, and agree with the pod's state machine."""

from __future__ import annotations

import json
from operator import attrgetter

import pytest

from pytest_wf.court.constitution import CONTRACTS, LAWS, Contract, family_of, is_code, states_from
from pytest_wf.wire import fsm


def test_there_are_nine_laws_with_a_text_each() -> None:
    assert list(LAWS) == list(range(1, 10))
    assert all(law.title and law.text.endswith(".") for law in LAWS.values())


def test_the_core_phases_stand_in_the_order_of_their_codes() -> None:
    assert list(CONTRACTS) == sorted(CONTRACTS)
    assert list(CONTRACTS) == [
        *("P00", "P10", "P20", "P30", "P40", "P50", "P60", "P70", "P80", "P90", "P99")
    ]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=attrgetter("code"))
def test_a_contract_names_known_laws_and_states(contract: Contract) -> None:
    assert contract.commands
    assert contract.intent
    assert set(contract.laws) <= set(LAWS)
    for states in (contract.states_before, contract.states_after):
        assert states is None or states <= set(fsm.STATES)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=attrgetter("code"))
def test_each_command_of_a_contract_is_legal_in_some_state_of_it(contract: Contract) -> None:
    for command in contract.commands:
        rule = fsm.COMMANDS.get(command)
        if rule is not None and contract.states_before is not None:
            assert rule.legal_in & contract.states_before


def test_failure_families_follow_the_codes() -> None:
    families = [family_of(code) for code in CONTRACTS]
    assert families == [1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 1]
    assert family_of("P55") == 3
    assert Contract("P55", "X", "x", ()).family == 3


def test_only_teardown_and_summary_always_run() -> None:
    assert [c.code for c in CONTRACTS.values() if c.always] == ["P90", "P99"]


def test_a_contract_is_plain_json() -> None:
    for contract in CONTRACTS.values():
        assert json.loads(json.dumps(contract.as_data())) == contract.as_data()
    assert CONTRACTS["P20"].as_data()["states_before"] is None


@pytest.mark.parametrize(
    ("text", "is_one"), [("P00", True), ("P4", False), ("P400", False), ("P40\n", False)]
)
def test_what_a_phase_code_is(text: str, is_one: bool) -> None:
    assert is_code(text) is is_one


def test_later_states_leave_out_the_end_of_the_pod() -> None:
    assert states_from(fsm.SWEEP_COMPLETED) == {
        fsm.SWEEP_COMPLETED,
        fsm.ARTIFACTS_FETCHING,
        fsm.ARTIFACTS_SYNCED,
    }
