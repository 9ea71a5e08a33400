"""The verdict of a flow: its outcome, the reason, and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_wf.config import expect
from pytest_wf.config.ranking import MINIMIZE, Rule
from pytest_wf.console.progress import digits_of, figure
from pytest_wf.evidence.records import Baseline
from pytest_wf.project.parameters import is_seed, shown
from pytest_wf.report.flow_records import FlowRecords
from pytest_wf.report.model import PageRow
from pytest_wf.report.outcome import Outcome
from pytest_wf.report.provenance import provenance_of
from pytest_wf.report.view import FlowView
from pytest_wf.wire.states import DRY_RUN, NOT_SELECTED, ROW_NOT_KNOWN, count

#: Facts of the provenance that are also shown here, if known.
_FACTS = ("Commit", "Target", "GPUs", "Cost")


@dataclass(frozen=True)
class Difference:
    """The difference between the best row and a row of the baseline."""

    #: The baseline's row and its value.
    against: str
    change: str
    #: 'good', 'bad', or empty if nothing changed.
    judged: str


@dataclass(frozen=True)
class Best:
    """The best row of a flow."""

    run_id: str
    value: str
    #: The rule that it is best by, such as 'lowest final val_loss'.
    words: str
    guessed: bool
    #: The number of rows that are equally good.
    ties: int
    #: Its parameters that other rows do not have: pairs of a name and a value.
    parameters: tuple[tuple[str, str], ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Verdict:
    """The top of the page."""

    flow_id: str
    result: Outcome
    #: None if no row is best; `unranked` says why.
    best: Best | None
    unranked: str
    started_at: str
    #: Empty if the flow did not end.
    ended_at: str
    duration_s: float | None
    #: Counts of rows by result.
    counts: dict[str, int]
    facts: tuple[tuple[str, str], ...]
    #: Whether there are rows that differ only by their seed.
    has_seeds: bool
    #: Whether a phase did not pass, which has a separate part.
    has_findings: bool
    #: The result of `wf verify` when the page is drawn, and the number of findings.
    verified: bool
    #: Whether the flow that draws the page is still writing its evidence.
    is_open: bool
    findings: int


def show(flow: FlowRecords) -> Verdict:
    """The verdict of `flow`."""
    summary = flow.folder.summary
    known = (pair for _, pairs in provenance_of(flow.folder) for pair in pairs)
    return Verdict(
        flow_id=flow.folder.flow_id,
        result=flow.outcome,
        best=_best(flow),
        # without rows, or while none has ended, there is nothing to say
        unranked=flow.ranking.reason if any(row.ok for row in flow.rows) else "",
        started_at=flow.span.stamp(flow.span.start),
        ended_at=flow.span.stamp(flow.span.end) if summary is not None else "",
        duration_s=summary.duration_s if summary is not None else None,
        counts=_counts([row.state for row in flow.rows]),
        facts=tuple(
            (name, value)
            for name, value in known
            if name in _FACTS and value != "not known" and not value.startswith("none")
        ),
        has_seeds=_have_seeds(flow.rows),
        has_findings=bool(flow.failed_phases),
        verified=flow.folder.verified.ok,
        is_open=flow.is_running,
        findings=len(flow.folder.verified.findings),
    )


def _have_seeds(rows: Sequence[PageRow]) -> bool:
    """Whether there are rows whose parameters are the same but for a seed."""
    others = [{k: v for k, v in row.parameters.items() if not is_seed(k)} for row in rows]
    distinct = {tuple(sorted((k, shown(v)) for k, v in known.items())) for known in others}
    return len(distinct) < len(rows) and any(is_seed(k) for row in rows for k in row.parameters)


def _best(flow: FlowRecords) -> Best | None:
    ranking, rule = flow.ranking, flow.ranking.rule
    if rule is None or ranking.best is None:
        return None
    row = next(row for row in flow.rows if row.run_id == ranking.best)
    value = ranking.values[row.run_id]
    known = [
        (name, shown(row.parameters.get(name))) for name in flow.differing if not is_seed(name)
    ]
    return Best(
        run_id=row.run_id,
        value=figure(value, digits_of(ranking.first_values(), least=6)),
        words=rule.words,
        guessed=ranking.guessed,
        ties=sum(place == 1 for place in ranking.ranks.values()) - 1,
        parameters=tuple((name, text) for name, text in known if text),
        differences=_differences(row.run_id, value, rule, flow.baseline),
    )


def _differences(
    run_id: str, value: float, rule: Rule, baseline: Baseline | None
) -> tuple[Difference, ...]:
    """Differences from the baseline's best row, and from its row of the same name if different."""
    found = {
        name: known
        for name, row in (baseline.rows if baseline is not None else {}).items()
        if (known := expect.finite(expect.named(row.metrics, rule.metric))) is not None
    }
    if not found:
        return ()
    sign = 1 if rule.goal == MINIMIZE else -1
    best = min(found, key=lambda name: sign * found[name])
    against = [(f"the baseline's best, {best}", found[best])]
    if run_id in found and run_id != best:
        against.append((f"{run_id} in the baseline", found[run_id]))
    return tuple(_difference(what, value, before, sign) for what, before in against)


def _difference(what: str, value: float, before: float, sign: int) -> Difference:
    change = value - before
    share = f" ({change / abs(before):+.1%})" if before else ""
    judged = ("good" if sign * change < 0 else "bad") if change else ""
    text = f"{change:+.4g}{share}" if change else "the same"
    return Difference(f"{what}: {before:.6g}", text, judged)


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
