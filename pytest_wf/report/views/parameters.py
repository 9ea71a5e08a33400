"""The effect of parameters on a metric, drawn by static/parameters.js from the page's data."""

from __future__ import annotations

from pytest_wf.report.build import Page
from pytest_wf.report.view import PageView


def show(page: Page) -> bool:
    """Whether there is anything to compare: a parameter that differs, and values of a metric."""
    return bool(page.tuned) and any(row.metrics.keys() - {"step"} for row in page.rows)


VIEW = PageView("parameters", show, link="Parameters")
