"""The timeline of a flow: its phases, and when rows ran on the pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_wf.report.flow_records import FlowRecords
from pytest_wf.report.model import PageRow
from pytest_wf.report.phases import Lane, Phase, Span, time_of
from pytest_wf.report.view import FlowView

#: With more rows than this, they are one lane of the timeline.
_MAX_LANES = 200


@dataclass(frozen=True)
class TimeLine:
    """Phases by the controller's clock, and rows by the pod's: for each pod that ran any."""

    phases: tuple[Phase, ...]
    #: The pod's name, '' for the only one, and when its rows ran.
    sweep: tuple[tuple[str, tuple[Lane, ...]], ...]
    #: All phases in one line, if every one passed; otherwise empty.
    in_short: str
    #: Whether phases without a record are still to come.
    is_running: bool


def show(flow: FlowRecords) -> TimeLine:
    """The times of phases and rows in `flow`."""
    pods = dict.fromkeys(row.pod for row in flow.rows)
    lanes = ((pod, _sweep([row for row in flow.rows if row.pod == pod], flow.span)) for pod in pods)
    sweep = tuple((pod, found) for pod, found in sorted(lanes) if found)
    return TimeLine(flow.phases, sweep, _in_short(flow.phases), flow.is_running)


def _in_short(phases: Sequence[Phase]) -> str:
    if any(phase.status not in ("ok", "skip") or phase.court != "pass" for phase in phases):
        return ""
    passed = [phase for phase in phases if phase.status == "ok"]
    skipped = [phase.code for phase in phases if phase.status == "skip"]
    said = f"{len(passed)} phases passed"
    return said + (f", {', '.join(skipped)} skipped" if skipped else "")


def _sweep(rows: Sequence[PageRow], span: Span) -> tuple[Lane, ...]:
    """When rows ran on the pod, by the pod's clock."""
    ran = [
        (begin, end, row)
        for row in rows
        if (begin := time_of(row.started_at)) is not None
        and (end := time_of(row.finished_at) or span.end) is not None
    ]
    if len(ran) > _MAX_LANES:
        first, last = min(b for b, _, _ in ran), max(e for _, e, _ in ran)
        lanes = [span.lane(first, last, "all", f"{len(ran)} rows")]
    else:
        lanes = [span.lane(b, e, row.state, f"{row.run_id}: {row.state}") for b, e, row in ran]
    return tuple(lane for lane in lanes if lane is not None)


VIEW = FlowView("timeline", show, link="Phases")
