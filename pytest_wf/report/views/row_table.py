"""The table of rows, drawn by static/row_table.js from the page's data."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.report.build import Page
from pytest_wf.report.view import PageView


@dataclass(frozen=True)
class Rows:
    """How many rows there are, and what a reader must know of them."""

    count: int
    notes: tuple[str, ...]


def show(page: Page) -> Rows:
    """The frame of the table."""
    return Rows(len(page.rows), page.row_notes)


VIEW = PageView("row_table", show, link="Rows")
