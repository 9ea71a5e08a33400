"""The table of rows. With scripts, static/row_table.js draws it from the page's data."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.config import expect
from pytest_wf.project.parameters import shown
from pytest_wf.report.build import Page
from pytest_wf.report.model import PageRow
from pytest_wf.report.view import PageView

#: The most rows and parameters in the table without scripts.
MAX_ROWS = 500
MAX_PARAMETERS = 12
_MAX_METRICS = 3


@dataclass(frozen=True)
class Column:
    """A column of the plain table."""

    title: str
    is_number: bool


@dataclass(frozen=True)
class PlainRow:
    """A row of the plain table: its cells, in the order of the columns."""

    run_id: str
    state: str
    rank: int | None
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """The number of rows, notes on them, and the table without scripts."""

    count: int
    notes: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[PlainRow, ...]
    #: Parameters that are not in the plain table.
    more_parameters: int
    #: Whether no row was launched, so that the table is of no interest.
    none_launched: bool


def show(page: Page) -> Rows:
    """The frame of the table, and its first rows."""
    metrics = _metrics(page)
    parameters = page.parameters[:MAX_PARAMETERS]
    columns = [Column("Flow", is_number=False)] if len(page.flows) > 1 else []
    columns += [Column(_title(name, page), is_number=True) for name in metrics]
    columns += [Column(name, _are_numbers(page, name)) for name in parameters]
    columns += [Column("Took (s)", is_number=True), Column("Failure", is_number=False)]
    return Rows(
        count=len(page.rows),
        notes=page.row_notes,
        columns=tuple(columns),
        rows=tuple(_plain(row, page, metrics, parameters) for row in page.rows[:MAX_ROWS]),
        more_parameters=len(page.parameters) - len(parameters),
        none_launched=all(row.state == "not launched" for row in page.rows),
    )


def _metrics(page: Page) -> tuple[str, ...]:
    """The metric that rows are ranked by, and the next ones by interest."""
    first = [page.ranked_by] if page.ranked_by else []
    return tuple([*first, *(m for m in page.measured if m not in (*first, "step"))][:_MAX_METRICS])


def _plain(
    row: PageRow, page: Page, metrics: tuple[str, ...], parameters: tuple[str, ...]
) -> PlainRow:
    cells = [page.flows[row.flow].label] if len(page.flows) > 1 else []
    cells += [_number(expect.named(row.measures, name)) for name in metrics]
    cells += [shown(row.parameters.get(name)) for name in parameters]
    cells += ["" if row.duration_s is None else _seconds(row.duration_s), row.failure_class]
    return PlainRow(row.run_id, row.state, row.rank, tuple(cells))


def _title(metric: str, page: Page) -> str:
    """The title of a metric's column, which tells it from a parameter's."""
    return f"{metric} (metric)" if metric in page.parameters else metric


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.0f}" if duration_s >= 10 else f"{duration_s:.2g}"


def _are_numbers(page: Page, name: str) -> bool:
    return not any(isinstance(row.parameters.get(name), (str, bool)) for row in page.rows)


def _number(value: object) -> str:
    known = expect.finite(value)
    return f"{known:.6g}" if known is not None else str(value or "")


VIEW = PageView("row_table", show, link="Rows")
