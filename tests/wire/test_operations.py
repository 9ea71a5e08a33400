"""The rules of the agent's operations."""

from pytest_wf.agent.server.operations import OPERATIONS as FUNCTIONS
from pytest_wf.wire import operations
from pytest_wf.wire.operations import OPERATIONS, READ_ONLY


def test_the_agent_has_a_function_for_each_operation_that_has_rules() -> None:
    assert set(FUNCTIONS) == set(OPERATIONS)


def test_only_operations_that_change_nothing_are_read_only() -> None:
    changing = {name for name, rules in OPERATIONS.items() if rules.needs_token or rules.journalled}
    assert set(OPERATIONS) - changing - {operations.LEASE_TAKE} == READ_ONLY


def test_every_change_but_a_renewal_of_the_lease_is_logged() -> None:
    assert {operations.LEASE_RENEW} == operations.NOT_LOGGED - READ_ONLY


def test_what_runs_in_a_process_of_its_own_is_journalled() -> None:
    assert all(rules.journalled for rules in OPERATIONS.values() if rules.detached)
