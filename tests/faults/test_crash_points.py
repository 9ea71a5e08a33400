"""Killed at any call that others can see, each process leaves what a resume ends well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.injection.crash_points import ROWS, CrashPoints

pytestmark = pytest.mark.slow

#: Calls of each process, spread over a flow.
SPREAD = {
    "controller": (120, 345),
    "agent": (31, 88),
    "supervisor": (2, 11),
    "runner": (4, 29),
}


def _crash(case: CrashPoints, role: str, at: int) -> bool:
    """Let `role` die at its call number `at`, go on, and judge; whether it came so far."""
    case.plan(role, at)
    run = case.flow()
    assert run.code == 0 or case.user.finish(run.output), case.user.told[-1][1]
    assert case.oracle.violations(list(ROWS)) == []
    return case.has_died()


@pytest.mark.fault("C1")
@pytest.mark.parametrize(
    ("role", "at"),
    [
        pytest.param(role, at, marks=[pytest.mark.long] if at > points[0] else [])
        for role, points in SPREAD.items()
        for at in points
    ],
)
def test_a_process_that_is_killed_at_a_call_leaves_what_a_resume_ends(
    tmp_path: Path, role: str, at: int
) -> None:
    assert _crash(CrashPoints(tmp_path), role, at)


@pytest.mark.fault("C1")
@pytest.mark.parametrize("at", [53, pytest.param(85, marks=pytest.mark.long)])
def test_an_agent_that_is_killed_while_a_start_archives_loses_no_earlier_run(
    tmp_path: Path, at: int
) -> None:
    case = CrashPoints(tmp_path)
    assert case.flow().code == 0
    case.edit_rows()
    case.plan("agent", at)
    run = case.flow()
    assert run.code == 0 or case.user.finish(run.output), case.user.told[-1][1]
    assert case.has_died()
    assert case.oracle.violations(list(ROWS)) == []
    archived = {path.name for path in (case.project.outputs / "_archive").glob("*/*")}
    assert archived >= set(ROWS)


@pytest.mark.fault("C1")
@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("role", SPREAD)
def test_a_process_may_be_killed_at_each_of_its_calls(tmp_path: Path, role: str) -> None:
    at = 1
    while _crash(CrashPoints(tmp_path / str(at)), role, at):
        at += 1
    assert at > max(SPREAD[role])


@pytest.mark.fault("C1")
@pytest.mark.long
@pytest.mark.parametrize("at", range(50, 115, 5))
def test_a_start_that_is_killed_where_it_adopts_and_archives_is_ended_by_the_next(
    tmp_path: Path, at: int
) -> None:
    case = CrashPoints(tmp_path)
    assert case.flow().code == 0, case.user.told[-1][1]
    case.edit()
    assert _crash(case, "agent", at)
