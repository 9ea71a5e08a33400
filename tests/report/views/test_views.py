"""The views of the page: a module and a partial each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from pytest_wf.report import page as drawing
from pytest_wf.report.build import Page
from pytest_wf.report.page import write_report
from pytest_wf.report.view import PageView
from pytest_wf.report.views import VIEWS


def test_each_module_has_its_partial_and_is_on_the_page() -> None:
    files = {entry.name for entry in resources.files("pytest_wf.report.views").iterdir()}
    named = {f"{view.name}.py" for view in VIEWS} | {f"{view.name}.html.j2" for view in VIEWS}
    assert {name for name in files if name.endswith((".py", ".j2"))} == {
        *named,
        "__init__.py",
        "macros.html.j2",
    }


def test_a_view_is_added_by_its_name_in_the_table(
    passed_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # it borrows the partial of the provenance: titles, and pairs of a name and a value
    slowest = PageView(
        "provenance", lambda page: [("Slowest", [("Row", slowest_of(page))])], "Slow"
    )
    monkeypatch.setattr(drawing, "VIEWS", (*VIEWS, slowest))
    html = write_report([passed_flow.folder], passed_flow.page).read_text()
    assert "<h3>Slowest</h3>" in html
    assert '<a href="#provenance">Slow</a>' in html


def slowest_of(page: Page) -> str:
    return max(page.rows, key=lambda row: row.duration_s or 0).run_id


def test_a_view_with_nothing_to_show_is_left_out(
    passed_flow: Any, halted_flow: Any, new_flow: Callable[..., Any]
) -> None:
    html = write_report([halted_flow.folder], halted_flow.page).read_text()
    assert 'class="view-findings"' in html
    assert 'class="view-curves"' not in html and 'href="#curves"' not in html


def test_of_several_flows_each_has_its_own_part(new_flow: Callable[..., Any]) -> None:
    flows = [new_flow().start() for _ in range(2)]
    html = write_report([flow.folder for flow in flows], flows[0].page).read_text()
    assert 'id="timeline-A"' in html and 'id="timeline-B"' in html
    assert '<a href="#timeline-A">Phases</a>' in html


def test_a_failed_row_shows_what_to_do(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    row = new_row("r1", 0, state="failed", failure_class="disk_full")
    flow = new_flow().start([row])
    flow.sweep({"r1": "gpt2.py,1,"}).end()
    html = write_report([flow.folder], flow.page).read_text()
    assert (
        "To do: Make room: <code>wf prune</code> lists old runs (<code>wf explain disk_full</code>)"
        in html
    )
