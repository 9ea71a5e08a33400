"""The curves of the rows, drawn by static/curves.js from the page's data."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.report.build import Page
from pytest_wf.report.view import PageView


@dataclass(frozen=True)
class Curves:
    """Notes on curves that were left out."""

    notes: tuple[str, ...]


def show(page: Page) -> Curves | None:
    """The frame of the plot; None if no metric has a curve."""
    return Curves(page.curve_notes) if page.metrics else None


VIEW = PageView("curves", show, link="Curves")
