"""The contracts of the core phases agree with the laws and the pod's state machine."""

from __future__ import annotations

import json
import subprocess
import sys
from operator import attrgetter

import pytest

from pytest_wf.court.constitution import LAWS
from pytest_wf.court.contract import Contract, family_of
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.wire import fsm


def test_the_core_phases_are_in_the_order_of_their_codes() -> None:
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


def test_only_teardown_and_summary_always_run() -> None:
    assert [c.code for c in CONTRACTS.values() if c.always] == ["P90", "P99"]


def test_a_contract_is_plain_json() -> None:
    for contract in CONTRACTS.values():
        assert json.loads(json.dumps(contract.as_data())) == contract.as_data()
    assert CONTRACTS["P20"].as_data()["states_before"] is None


def test_contracts_load_without_the_records() -> None:
    """The auditor starts once a phase: pydantic alone would double its time."""
    look = "import sys, pytest_wf.court.phases; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", look], check=True)
