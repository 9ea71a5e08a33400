"""The page of a flow that runs: its rows as they were seen, and what was seen of their curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_wf.report import running
from pytest_wf.report.build import build
from pytest_wf.report.page import write_report
from pytest_wf.report.running import Running, SeenCurve, SeenCurves
from pytest_wf.wire.rows import Live, RowStatus


def seen(run_id: str, step: int, ran_s: float, **metrics: Any) -> RowStatus:
    progress = {"step": step, **metrics}
    return RowStatus(run_id, "running", progress=progress, live=Live(ran_s=ran_s))


def test_each_look_that_finds_another_step_adds_a_point() -> None:
    curves = SeenCurves()
    for step, loss in ((0, 3.0), (5, 2.0), (5, 2.0), (9, float("nan"))):
        curves.take([seen("a", step, step / 2, loss=loss, note="x")])
    assert curves.curves("a") == {"loss": ([0, 5], [3.0, 2.0], 2)}
    assert curves.axes("a") == {"time": ([0, 5, 9], [0, 2.5, 4.5])}
    assert (curves.curves("b"), curves.axes("b")) == ({}, {})


def test_a_later_attempt_replaces_the_steps_that_it_takes_again() -> None:
    curves = SeenCurves()
    for step, loss in ((0, 3.0), (10, 2.0), (4, 2.5)):
        curves.take([seen("a", step, 1.0, loss=loss)])
    assert curves.curves("a") == {"loss": ([0, 4], [3.0, 2.5], 2)}


def test_a_long_row_keeps_its_first_and_last_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MAX_POINTS", 10)
    curve = SeenCurve()
    lengths = []
    for step in range(100):
        curve.take(step, step)
        lengths.append(len(curve.x))
    assert max(lengths) == 10
    assert (curve.x[0], curve.x[-1]) == (0, 99)
    assert curve.x == sorted(curve.x)


def test_the_page_shows_rows_and_curves_that_are_in_no_evidence_yet(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    flow = new_flow().start([new_row("a", 0), new_row("b", 1)])
    flow.before_the_sweep().phase("P60")
    curves = SeenCurves()
    for step in (1, 2):
        curves.take([seen("a", step, 3.0 * step, loss=4.0 - step)])
    rows = [seen("a", 2, 6.0, loss=2.0), RowStatus("b", "pending", index=1)]
    page = build([flow.folder], flow.page.parent, Running(rows, curves, 30.0))
    assert [(row.run_id, row.state) for row in page.rows] == [("a", "running"), ("b", "pending")]
    assert page.rows[0].curves["loss"] == ([1.0, 2.0], [3.0, 2.0], 2)
    assert page.flows[0].outcome.headline == "Running: P70 MONITOR"
    html = write_report([flow.folder], flow.page, None, Running(rows, curves, 30.0)).read_text()
    assert '<meta http-equiv="refresh" content="30">' in html
    assert "written while it runs" in html
    assert "Not verified" not in html


def test_the_page_of_a_flow_that_ended_does_not_load_itself_again(passed_flow: Any) -> None:
    html = write_report([passed_flow.folder], passed_flow.page).read_text()
    assert 'http-equiv="refresh"' not in html
    assert 'id="live"' not in html
