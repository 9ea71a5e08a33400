"""The curves of the rows, drawn by static/plots.js from the page's data."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.report.build import Page
from pytest_wf.report.view import PageView


@dataclass(frozen=True)
class Curves:
    """Metrics to choose from, and what was left out."""

    metrics: tuple[str, ...]
    notes: tuple[str, ...]


def show(page: Page) -> Curves | None:
    """The metrics that have curves; None where none has."""
    return Curves(page.metrics, page.curve_notes) if page.metrics else None


VIEW = PageView("curves", show, link="Curves")
