"""The table of rows as it is without scripts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_wf.report.build import build
from pytest_wf.report.views import row_table


def test_a_metric_with_the_name_of_a_parameter_has_a_title_of_its_own(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    rows = [new_row(name, i, metrics={"lr": 0.5, "loss": i}) for i, name in enumerate("ab")]
    flow = new_flow().start(rows)
    flow.sweep({"a": "gpt2.py,1,lr=1", "b": "gpt2.py,1,lr=2"}).end()
    shown = row_table.show(build([flow.folder], flow.page.parent))
    titles = [column.title for column in shown.columns]
    assert "lr (metric)" in titles
    assert titles.count("lr") == 1


def test_a_row_that_took_less_than_a_second_has_a_time(passed_flow: Any) -> None:
    page = build([passed_flow.folder], passed_flow.page.parent)
    rows = tuple(replace(page.rows[0], duration_s=s) for s in (0.0661, 12.4, None))
    shown = row_table.show(replace(page, rows=rows))
    place = [column.title for column in shown.columns].index("Took (s)")
    assert [row.cells[place] for row in shown.rows] == ["0.066", "12", ""]
