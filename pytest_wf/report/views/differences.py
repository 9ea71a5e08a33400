"""Differences between flows: config, rows and code."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.report.build import Page
from pytest_wf.report.compare.code import CodeDifference, code_difference
from pytest_wf.report.compare.configs import differing_keys
from pytest_wf.report.compare.difference import Difference
from pytest_wf.report.compare.rows import differing_rows
from pytest_wf.report.view import PageView

#: The most rows of a table that are shown.
MAX_SHOWN = 100


@dataclass(frozen=True)
class Table:
    """Names whose values differ."""

    title: str
    #: The kind of its names: keys or rows.
    of: str
    rows: tuple[Difference, ...]
    #: The number of those not shown.
    more: int


@dataclass(frozen=True)
class Differences:
    """The differences between the flows that `labels` name."""

    labels: tuple[str, ...]
    tables: tuple[Table, ...]
    #: From the first flow to the last; None if they ran one commit, or one is unknown.
    code: CodeDifference | None


def show(page: Page) -> Differences | None:
    """The differences; None for one flow, and if there are none."""
    if len(page.flows) < 2:
        return None
    folders = [flow.folder for flow in page.flows]
    tables = [
        _table("Config", "Key", differing_keys(folders)),
        _table("Rows", "Row", differing_rows([flow.rows for flow in page.flows])),
    ]
    known = tuple(table for table in tables if table.rows)
    code = code_difference(folders[0], folders[-1])
    if not known and code is None:
        return None
    return Differences(tuple(flow.label for flow in page.flows), known, code)


def _table(title: str, of: str, found: list[Difference]) -> Table:
    return Table(title, of, tuple(found[:MAX_SHOWN]), max(0, len(found) - MAX_SHOWN))


VIEW = PageView("differences", show, link="Differences")
