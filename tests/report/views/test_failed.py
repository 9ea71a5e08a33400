"""The failed rows on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_wf.report.build import build
from pytest_wf.report.page import write_report
from pytest_wf.report.views import failed


def test_a_failed_row_has_the_parameters_that_tell_it_from_others(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    flow = new_flow().start([new_row("a", 0), new_row("b", 1, state="failed")])
    flow.sweep({"a": "gpt2.py,1,lr=1 depth=6", "b": "gpt2.py,1,lr=2 depth=6 twice=true"}).end()
    [row] = failed.show(build([flow.folder], flow.page.parent))
    assert row.parameters == (("lr", "2"), ("twice", "true"))
    page = write_report([flow.folder], flow.page).read_text()
    assert '<span class="quiet">lr</span> 2 · <span class="quiet">twice</span> true' in page
