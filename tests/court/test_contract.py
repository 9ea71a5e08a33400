"""Contracts, codes and states."""

from __future__ import annotations

import pytest

from pytest_wf.court.contract import Contract, family_of, is_code, states_from
from pytest_wf.wire import fsm


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


def test_a_contract_has_the_failure_family_of_its_code() -> None:
    assert family_of("P55") == 3
    assert Contract("P55", "X", "x", ()).family == 3
