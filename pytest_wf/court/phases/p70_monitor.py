"""P70 MONITOR: judged by the fact `waited` and the evidence's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract, states_from
from pytest_wf.court.core_phase import CorePhase, Postcondition
from pytest_wf.wire import fsm
from pytest_wf.wire.states import (
    FAILED,
    LOST,
    NOT_SELECTED,
    OTHER_POD,
    PENDING,
    ROW_ENDED,
    ROW_KNOWN,
    SUCCESS,
)

if TYPE_CHECKING:
    from pytest_wf.court.case import Case
    from pytest_wf.wire.rows import RowStatus

_CONTRACT = Contract(
    "P70",
    "MONITOR",
    "every row has ended, or one snapshot of the campaign is taken",
    ("sweep-watch",),
    preconditions=("P60 passed",),
    postconditions=("each row's state is known",),
    states_before=states_from(fsm.CHECKED_OUT),
    states_after=states_from(fsm.CHECKED_OUT),
    timeout_s=None,
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    rows = e.row_statuses()
    waited = e.facts.get("waited") is True
    unknown = sorted(
        f"{run_id}: {row.state}"
        for run_id, row in rows.items()
        if row.state not in _legal_states(case, run_id, waited=waited)
    )
    return [
        Postcondition(
            "rows-known",
            rows and not unknown,
            5,
            "each selected row has ended" if waited else "each row's state is known",
            ", ".join(unknown[:20]) or f"{len(rows)} rows",
            "Look at `wf sweep-status`; attach again with "
            "`pytest flows/ --wf-flow --wf-sweep=resume --wf-wait=true`.",
        ),
        Postcondition(
            "waited-as-asked",
            waited
            or case.world.policy.get("wait", "false") != "true"
            or case.world.policy.get("sweep") == "skip",
            5,
            "rows are awaited under --wf-wait=true",
            f"waited: {waited}",
            "Call the monitor operation in P70's body.",
        ),
        *_expectations(case, rows),
    ]


def _legal_states(case: Case, run_id: str, *, waited: bool) -> frozenset[str]:
    """The states that a row may be in."""
    policy = case.world.policy
    is_deselected = run_id in policy.get("deselected", "").split()
    legal = ROW_ENDED | {LOST} if waited and not is_deselected else ROW_KNOWN - {OTHER_POD}
    if policy.get("max_usd") and case.evidence.facts.get("ceiling"):
        legal |= {PENDING}  # the row does not begin, and its own test fails for that
    # with --lf, rows that are known to be good are not launched
    launches_all = policy.get("last_failed") != "true" and policy.get("sweep") != "skip"
    return legal - {NOT_SELECTED} if launches_all and not is_deselected else legal | {NOT_SELECTED}


def _expectations(case: Case, rows: Mapping[str, RowStatus]) -> list[Postcondition]:
    """Whether each row that succeeded was judged by all of its expectations.

    They are judged again from the row's own metrics. A row that breaks its expectations is a failed
    row, not a failed phase; the phase fails if a judgement is missing or wrong.
    """
    # imported here, as the auditor loads this module for its contract and must start fast
    from pytest_wf.config import expect

    general = case.world.policy.get("expect", "")
    judged, wrong = 0, []
    for run_id, row in rows.items():
        clauses = expect.clauses_of(general, row.expect) if row.trained else []
        if not clauses:
            continue
        judged += 1
        given = list(row.expectations)
        state = SUCCESS if all(entry.get("ok") is True for entry in given) else FAILED
        if row.state != state or given != expect.rejudged(clauses, row.measures, given):
            wrong.append(run_id)
    if not judged:
        return []
    return [
        Postcondition(
            "rows-judged",
            not wrong,
            6,
            "each row that succeeded is compared with its expectations",
            "not, or not as its metrics are: " + ", ".join(wrong[:20])
            if wrong
            else f"{judged} rows",
            "Call the monitor operation in P70's body.",
        )
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
