"""The end of a flow: its summary from the records of its phases, its cost, failed rows."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pytest_wf.config.ranking import rank
from pytest_wf.court.next_command import after_failed_rows, flow_command, wf_command
from pytest_wf.evidence.records import FlowEnd, FlowStart, FlowSummary
from pytest_wf.evidence.summary import PhaseOutcome, summary_of
from pytest_wf.evidence.times import rfc3339
from pytest_wf.flow.phase import Halt
from pytest_wf.wire.failures import EXPECT
from pytest_wf.wire.states import PENDING, ROW_SETTLED, RUNNING

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState


def summarise(flow: FlowState, start: FlowStart, end: FlowEnd) -> FlowSummary:
    """The summary that follows from the records of the flow's phases; views are drawn later."""
    phases = {
        code: PhaseOutcome(record.evidence, record.verdict, record.verdict_sha256)
        for code, record in flow.phases.items()
    }
    summary = summary_of(start, phases, end)
    return summary.model_copy(
        update={"has_views": not flow.member}
    )  # only the flow as a whole has views


def end_of(flow: FlowState, exit_code: int) -> FlowEnd:
    """The present facts of the flow's end that no phase records."""
    halt = flow.halt or Halt("", 0, "")
    price, cost = pod_cost(flow)
    return FlowEnd(
        ended_at=rfc3339(datetime.now(timezone.utc)),
        exit_code=exit_code,
        halted_by=halt.phase,
        halt_code=halt.code,
        halt_kind=halt.kind,
        failed_case=flow.failed_case or "",
        cost_usd=cost,
        usd_per_hour=price,
        next_command=following_command(flow),
        members=flow.member_ends,
        guessed_rank_by=rule.text if (rule := rank(flow.watched.rows).rule) else "",
    )


def following_command(flow: FlowState) -> str:
    """The command to run next if no phase's verdict names one."""
    open_ = [row for row in flow.watched.selected if row.state in (RUNNING, PENDING)]
    failed = [row for row in flow.watched.selected if row.ok is False]
    if failed and all(row.failure_class == EXPECT for row in failed):
        # a row that succeeded is not trained again automatically
        return wf_command(f"wf logs {failed[0].run_id}", flow.options)
    if failed or flow.failed_case:
        all_ended = all(row.state in ROW_SETTLED for row in flow.watched.rows)
        return after_failed_rows(flow.options, all_ended=all_ended)
    if flow.halt is not None:
        return flow_command(flow.options, **({"sweep": "resume"} if open_ else {}))
    if open_:
        return flow_command(flow.options, sweep="resume", wait="true", fetch="all")
    return ""


def pod_cost(flow: FlowState) -> tuple[float | None, float | None]:
    """The pod's price in US dollars per hour, and its cost so far; None if unknown.

    After its deletion, the cost is the one in the provider's statement, if there is one.
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
    """Whether a selected row is known to have failed, with or without a test of its own."""
    return any(row.ok is False for row in flow.watched.selected)
