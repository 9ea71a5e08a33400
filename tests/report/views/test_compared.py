"""The runs that several flows have in common: side by side, judged only where that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_wf.config.ranking import parse
from pytest_wf.report.build import build
from pytest_wf.report.model import PageRow
from pytest_wf.report.views import compared
from pytest_wf.report.views.compared import Comparison


def one(run_id: str, flow: int, state: str = "success", **metrics: Any) -> PageRow:
    return PageRow(run_id, flow, 0, state=state, metrics=metrics)


def told(*rows: PageRow) -> Comparison:
    found = compared.compared(rows, ["A", "B"])
    assert found is not None
    return found


def test_a_loss_that_fell_is_good_and_one_that_rose_is_bad() -> None:
    found = told(
        one("a", 0, val_loss=2.0, step=5),
        one("b", 0, val_loss=2.0),
        one("a", 1, val_loss=1.5, step=9),
        one("b", 1, val_loss=2.5),
    )
    assert found.metric == "val_loss"
    assert [(r.run_id, r.values, r.change, r.judged) for r in found.runs] == [
        ("a", ("2", "1.5"), "-0.5 (-25.0%)", "good"),
        ("b", ("2", "2.5"), "+0.5 (+25.0%)", "bad"),
    ]


def test_the_rule_that_rows_are_ranked_by_decides_where_it_can() -> None:
    rows = [
        PageRow("a", n, 0, state="success", metrics={"val_loss": 1.0}, measures={"max(acc)": acc})
        for n, acc in enumerate((0.5, 0.75))
    ]
    found = compared.compared(rows, ["A", "B"], parse("max(acc)"))
    assert found is not None and found.metric == "max(acc)"
    assert (found.runs[0].change, found.runs[0].judged) == ("+0.25 (+50.0%)", "good")
    found = compared.compared(rows, ["A", "B"], parse("min(other_loss)"))
    assert found is not None and found.metric == "val_loss"


def test_what_may_rise_or_fall_is_not_judged() -> None:
    [run] = told(one("a", 0, tokens_per_s=100), one("a", 1, tokens_per_s=150)).runs
    assert (run.change, run.judged) == ("+50 (+50.0%)", "")


@pytest.mark.parametrize(
    ("state", "value", "shown"),
    [("failed", 1.0, "1 (failed)"), ("success", "nan", "success"), ("unknown", None, "unknown")],
)
def test_a_run_that_did_not_end_well_changes_nothing(state: str, value: Any, shown: str) -> None:
    [run] = told(one("a", 0, loss=2.0), one("a", 1, state, loss=value)).runs
    assert run.values == ("2", shown)
    assert (run.change, run.judged) == ("", "")


def test_runs_of_one_flow_alone_are_counted_and_no_more() -> None:
    found = told(one("a", 0, loss=1), one("a", 1, loss=1), one("b", 1, loss=1))
    assert [run.run_id for run in found.runs] == ["a"]
    assert found.notes == ("In only one of the flows: 1 run.",)
    assert found.runs[0].judged == ""
    assert compared.compared([one("a", 0, loss=1), one("b", 1, loss=1)], ["A", "B"]) is None
    assert compared.compared([one("a", 0), one("a", 1)], ["A", "B"]) is None
    huge = [one("a", 0, loss=10**400), one("a", 1, loss=10**400)]
    assert compared.compared(huge, ["A", "B"]) is None


def test_of_many_runs_those_that_changed_most_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared, "MAX_RUNS", 2)
    rows = [one(f"r{i}", flow, loss=1 + flow * i) for i in range(5) for flow in (0, 1)]
    found = told(*rows)
    assert [run.run_id for run in found.runs] == ["r3", "r4"]
    assert found.notes == ("2 of 5 common runs: those that changed most.",)


def test_one_flow_is_not_compared(passed_flow: Any) -> None:
    assert compared.show(build([passed_flow.folder], passed_flow.page.parent)) is None


def test_two_flows_are(new_flow: Callable[..., Any], new_row: Callable[..., Any]) -> None:
    flows = [new_flow() for _ in range(2)]
    for number, flow in enumerate(flows):
        flow.start([new_row("a", 0, metrics={"val_loss": 2.0 - number})])
        flow.before_the_sweep().sweep().end()
    found = compared.show(build([flow.folder for flow in flows], flows[0].page.parent))
    assert found is not None
    assert found.runs[0].values == ("2", "1")
