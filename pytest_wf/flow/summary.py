"""The flow's summary, from the records of its phases and its rows as last seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pytest_wf.evidence.records import FlowSummary, PhaseSummary, RowNote, RowSummary, rfc3339
from pytest_wf.wire.failures import EXPECT, KINDS, code_of
from pytest_wf.wire.states import count

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState


def summarise(flow: FlowState, exit_code: int) -> FlowSummary:
    """The flow's summary, as far as is known now.

    It is ok only if every phase passed its court and no row failed; a row that was not
    awaited is neither ok nor failed.
    """
    now = datetime.now(timezone.utc)
    phases = [_phase(flow, code) for code in sorted(flow.contracts)]
    rows = _rows(flow)
    failed = next(
        (p for p in phases if p.status == "fail" or p.court in ("fail", "unverified")), None
    )
    bad_rows = [r for r in rows if r.ok is False]
    # a failed training comes before an unmet expectation
    bad_row = next((r for r in bad_rows if r.failure_class != EXPECT), next(iter(bad_rows), None))
    code, kind, where = 0, "", None
    if flow.halt is not None:
        code, kind, where = flow.halt.code, flow.halt.kind, flow.halt.phase
    if failed is not None:
        record = flow.phases[failed.code]
        where = failed.code
        code = record.verdict.code if record.verdict else failed.failure_code
        kind = record.failure.kind if record.failure else "court"
    elif bad_row is not None and where is None:
        kind = "row-expectation" if bad_row.failure_class == EXPECT else "row-failed"
        code, where = KINDS[kind], "P70"
    elif flow.failed_case is not None and where is None:
        # the row succeeded, and a case that its author wrote failed
        kind, where = "assertion", flow.failed_case
        code = code_of(kind, flow.contracts[where].family)
    price, cost = pod_cost(flow)
    counts = Counter(f"phases_{p.status}" for p in phases)
    counts.update(_row_counts(rows))
    return FlowSummary(
        flow_id=flow.flow_id,
        ok=exit_code == 0 and where is None,
        exit_code=exit_code,
        failed_phase=where,
        failure_code=code,
        failure_kind=kind,
        started_at=rfc3339(flow.started_at),
        ended_at=rfc3339(now),
        duration_s=round((now - flow.started_at).total_seconds(), 3),
        phases=phases,
        rows=rows,
        counts=dict(sorted(counts.items())),
        cost_usd=cost,
        usd_per_hour=price,
        teardown_mode=flow.teardown_mode,
    )


def pod_cost(flow: FlowState) -> tuple[float | None, float | None]:
    """The pod's price in US dollars an hour, and what it has cost so far; None where unknown.

    After its deletion the cost is that of the provider's statement, where it gives one.
    """
    end = flow.phases.get("P90")
    released = end.facts.get("released") if end else None
    if isinstance(released, dict) and released.get("usd_per_hour") is not None:
        return released["usd_per_hour"], released.get("cost_usd")
    rented = flow.phases.get("P10")
    facts = rented.facts if rented else {}
    price, since = facts.get("usd_per_hour"), facts.get("rented_at")
    if flow.binding.left is not None:
        price, since = flow.binding.left.usd_per_hour, flow.binding.left.rented_at
    if not isinstance(price, float) or not since:
        return None, None
    spent = datetime.now(timezone.utc) - datetime.fromisoformat(since.replace("Z", "+00:00"))
    return price, round(price * max(0.0, spent.total_seconds()) / 3600, 6)


def has_failed_row(flow: FlowState) -> bool:
    """Whether a row of the campaign is known to have failed, with or without a case of its own."""
    return any(row.ok is False for row in flow.watched.rows)


def _failed(phase: PhaseSummary) -> bool:
    """Whether the phase did not pass; one that began and has no verdict has not passed."""
    if phase.court == "none":
        return phase.status != "halted"
    return phase.status == "fail" or phase.court in ("fail", "unverified")


def _phase(flow: FlowState, code: str) -> PhaseSummary:
    contract = flow.contracts[code]
    record = flow.phases.get(code)
    if record is None:
        return PhaseSummary(code=code, name=contract.name, status="halted")
    court: Any = "none"
    if record.verdict is not None:
        court = "pass" if record.verdict.phase_pass else "fail"
        if record.verdict.constitutional == "unverified":
            court = "unverified"
    return PhaseSummary(
        code=code,
        name=contract.name,
        status=record.status,  # type: ignore[arg-type]
        failure_code=record.failure.code if record.failure else 0,
        court=court,
        duration_s=round(record.duration_s, 3),
        verdict_sha256=record.verdict_sha256,
    )


def _rows(flow: FlowState) -> list[RowSummary]:
    return [
        RowSummary(
            run_id=row.run_id,
            state=row.state,
            ok=row.ok,
            attempts=row.attempts,
            failure_class=row.failure_class,
            duration_s=row.duration_s,
            metrics=row.metrics,
            notes=[RowNote(code=note.code, text=note.text) for note in row.notes],
        )
        for row in flow.watched.rows
    ]


def _row_counts(rows: Sequence[RowSummary]) -> dict[str, int]:
    """How many rows are ok, failed, and neither, where there are any."""
    counts = count(row.state for row in rows)
    open_ = counts["total"] - counts["ok"] - counts["failed"]
    found = {"rows_ok": counts["ok"], "rows_failed": counts["failed"], "rows_open": open_}
    return {name: number for name, number in found.items() if number}
