"""Runs that several flows have in common, compared by one metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_wf.config import expect
from pytest_wf.config.ranking import MINIMIZE, Rule, goal_of
from pytest_wf.report.build import Page
from pytest_wf.report.curves import is_loss
from pytest_wf.report.model import PageRow
from pytest_wf.report.view import PageView

#: The most runs shown: those that changed most.
MAX_RUNS = 100
#: The most runs without a change that are shown one by one, and that are named otherwise.
MAX_EQUAL, MAX_NAMED = 3, 10


@dataclass(frozen=True)
class ComparedRun:
    """One run of several flows: its last value in each, and how it changed."""

    run_id: str
    values: tuple[str, ...]
    change: str
    #: 'good' or 'bad' if the metric says which direction is better, otherwise empty.
    judged: str


@dataclass(frozen=True)
class Comparison:
    """The runs that several flows have in common."""

    metric: str
    labels: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...]


def show(page: Page) -> Comparison | None:
    """The results in each flow of runs with the same name."""
    return compared(page.rows, [flow.label for flow in page.flows], page.ranking.rule)


def compared(
    rows: Sequence[PageRow], labels: Sequence[str], ranked_by: Rule | None = None
) -> Comparison | None:
    """The results of runs with the same name in the flows that `labels` name; None if there is
    nothing to compare.

    They are compared by the rule that rows are ranked by, if any of them can be.
    """
    by_run: dict[str, dict[int, PageRow]] = {}
    for row in rows:
        by_run.setdefault(row.run_id, {})[row.flow] = row
    shared = {run_id: seen for run_id, seen in by_run.items() if len(seen) > 1}
    rule = _rule(shared, ranked_by)
    if rule is None:
        return None
    changes = {run_id: _change(seen, rule, len(labels)) for run_id, seen in shared.items()}
    # equal runs are one line, unless they are few enough to be shown side by side
    equal = [run_id for run_id, change in changes.items() if change == 0]
    equal = equal if len(equal) > MAX_EQUAL else []
    others = [run_id for run_id in shared if run_id not in set(equal)]
    shown = set(sorted(others, key=lambda run_id: -abs(changes[run_id] or 0.0))[:MAX_RUNS])
    notes = []
    if len(others) > len(shown):
        notes.append(f"{len(shown)} of {len(others)} common runs: those that changed most.")
    if equal:
        more = f" and {len(equal) - MAX_NAMED} more" if len(equal) > MAX_NAMED else ""
        notes.append(f"{len(equal)} runs are equal: {', '.join(equal[:MAX_NAMED])}{more}.")
    alone = len(by_run) - len(shared)
    if alone:
        notes.append(f"In only one of the flows: {alone} run{'s' if alone > 1 else ''}.")
    runs = tuple(
        _run(run_id, seen, changes[run_id], rule, len(labels))
        for run_id, seen in shared.items()
        if run_id in shown
    )
    return Comparison(rule.metric, tuple(labels), runs, tuple(notes))


def _rule(shared: dict[str, dict[int, PageRow]], ranked_by: Rule | None) -> Rule | None:
    """The rule that rows are ranked by, otherwise the metric that most of them have; validation
    losses come first."""
    rows = [row for seen in shared.values() for row in seen.values()]
    if ranked_by is not None and any(_value(row, ranked_by) is not None for row in rows):
        return ranked_by
    counts: dict[str, int] = {}
    for row in rows:
        for name, value in row.metrics.items():
            if name != "step" and expect.finite(value) is not None:
                counts[name] = counts.get(name, 0) + 1
    metric = min(
        counts,
        key=lambda name: (not is_loss(name), "val" not in name.lower(), -counts[name], name),
        default=None,
    )
    return None if metric is None else Rule(metric, goal_of(metric) or "")


def _run(
    run_id: str, seen: dict[int, PageRow], change: float | None, rule: Rule, flows: int
) -> ComparedRun:
    values = []
    for flow in range(flows):
        value = _value(seen[flow], rule) if flow in seen else None
        state = seen[flow].state if flow in seen else "not in it"
        values.append(state if value is None else f"{value:.5g}" + _unless_good(state))
    if change is None:
        return ComparedRun(run_id, tuple(values), "", "")
    before = _value(seen[0], rule)
    share = f" ({change / abs(before):+.1%})" if before else ""
    goal = rule.goal if change else ""
    judged = "" if not goal else "good" if (change < 0) == (goal == MINIMIZE) else "bad"
    return ComparedRun(run_id, tuple(values), f"{change:+.4g}{share}", judged)


def _unless_good(state: str) -> str:
    """Text for a run that did not succeed, whose value is not a result."""
    return "" if state == "success" else f" ({state})"


def _change(seen: dict[int, PageRow], rule: Rule, flows: int) -> float | None:
    """From the first flow to the last; None if the run did not succeed in both."""
    if 0 not in seen or flows - 1 not in seen:
        return None
    first, last = seen[0], seen[flows - 1]
    before, after = _value(first, rule), _value(last, rule)
    if before is None or after is None or {first.state, last.state} != {"success"}:
        return None
    return after - before


def _value(row: PageRow, rule: Rule) -> float | None:
    value = rule.value(row)
    if value is None:
        # of an event file, which ranks nothing
        value = expect.finite(row.metrics.get(rule.metric))
    return None if value is None else float(value)


VIEW = PageView("compared", show, link="Compared")
