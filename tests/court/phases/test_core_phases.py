"""The contracts of the core phases agree with the laws and the pod's state machine."""

from __future__ import annotations

import json
import subprocess
import sys
from operator import attrgetter

import pytest

from pytest_wf.court import deterministic
from pytest_wf.court.constitution import LAWS
from pytest_wf.court.contract import Contract, family_of
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.wire import fsm
from tests.support import good_flow as good

#: The law that each check is about; a check of two phases is about the same one in both.
CHECKS_OF_LAWS = {
    1: {"config-unchanged", "config-hash-recorded"},
    2: {"phases-in-order"},
    3: {"target-unchanged", "target-bound", "target-locked", "pod-rented", "host-key-verified"},
    5: {
        *("contract-as-declared", "commands-in-contract", "something-ran", "skip-did-nothing"),
        *("state-before", "state-after", "transition-legal", "renting-allowed", "fetch-ended"),
        *("nothing-missing", "commit-as-asked", "checkout-clean", "torch-as-asked", "rows-known"),
        *("sweep-as-asked", "sweep-under-way", "waited-as-asked"),
    },
    6: {
        *("code-agrees", "rc-agrees", "times-in-order", "state-as-found", "skip-has-reason"),
        *("artifacts-present", "artifacts-as-stated", "artifacts-parse", "config-synced"),
        *("commit-recorded", "campaign-known", "digests-verified"),
    },
    7: {"nothing-destroyed", "teardown-as-asked", "deletion-proved", "kept-and-named"},
    9: {"laws-loaded"},
}


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


def test_each_check_names_the_law_that_it_is_about() -> None:
    found: dict[int, set[str]] = {}
    for code in CONTRACTS:
        for changes in ({}, {"phase_status": "skip"}, {"commands": ["teardown"]}):
            case = good.evidence(code, **changes), good.contract(code), good.world(code)
            for check in deterministic.deterministic(*case):
                if check.law:
                    found.setdefault(check.law, set()).add(check.name)
    assert found == CHECKS_OF_LAWS


def test_every_phase_that_may_touch_the_pod_is_bound_to_its_target_and_its_contract() -> None:
    assert [c.code for c in CONTRACTS.values() if 3 not in c.laws] == ["P00", "P99"]
    assert all({5, 6, 9} <= set(c.laws) for c in CONTRACTS.values())


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
