"""The verdict of a flow: how it ended, why, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.report.flow_records import FlowRecords
from pytest_wf.report.outcome import Outcome
from pytest_wf.report.provenance import provenance_of
from pytest_wf.report.view import FlowView
from pytest_wf.wire.states import DRY_RUN, NOT_SELECTED, ROW_NOT_KNOWN, count

#: What of the provenance is shown here too, where it is known.
_FACTS = ("Commit", "Target", "GPUs", "Cost")


@dataclass(frozen=True)
class Verdict:
    """The top of the page."""

    flow_id: str
    result: Outcome
    started_at: str
    #: Empty where the flow did not end.
    ended_at: str
    duration_s: float | None
    #: Rows by what became of them.
    counts: dict[str, int]
    facts: tuple[tuple[str, str], ...]
    #: What `wf verify` says when the page is drawn, and how many findings it has.
    verified: bool
    findings: int


def show(flow: FlowRecords) -> Verdict:
    """How `flow` ended."""
    summary = flow.folder.summary
    known = (pair for _, pairs in provenance_of(flow.folder) for pair in pairs)
    return Verdict(
        flow_id=flow.folder.flow_id,
        result=flow.outcome,
        started_at=flow.span.stamp(flow.span.start),
        ended_at=flow.span.stamp(flow.span.end) if summary is not None else "",
        duration_s=summary.duration_s if summary is not None else None,
        counts=_counts([row.state for row in flow.rows]),
        facts=tuple(
            (name, value)
            for name, value in known
            if name in _FACTS and value != "not known" and not value.startswith("none")
        ),
        verified=flow.folder.verified.ok,
        findings=len(flow.folder.verified.findings),
    )


def _counts(states: list[str]) -> dict[str, int]:
    known = count(states)
    counts = {
        "ok": known["ok"],
        "failed": known["failed"],
        "dry run": states.count(DRY_RUN),
        "not selected": states.count(NOT_SELECTED),
        "not launched": states.count("not launched"),
        "not known": sum(state in ROW_NOT_KNOWN for state in states),
    }
    return {**counts, "not ended": len(states) - sum(counts.values())}


VIEW = FlowView("verdict", show)
