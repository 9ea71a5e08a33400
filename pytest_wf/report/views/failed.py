"""The failed rows, each with the end of its log."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.court.explanations import ROWS
from pytest_wf.project.parameters import shown
from pytest_wf.report.build import Page
from pytest_wf.report.view import PageView
from pytest_wf.wire.states import ROW_FAILED

MAX_PARAMETERS = 12


@dataclass(frozen=True)
class FailedRow:
    """A row that failed, and why."""

    #: The label of its flow; empty if the page has one flow.
    label: str
    run_id: str
    state: str
    #: Its parameters that other rows do not have, at most `MAX_PARAMETERS`: pairs of a name and a
    #: value.
    parameters: tuple[tuple[str, str], ...]
    failure_class: str
    reason: str
    #: What to do about it; empty if that is not known.
    remedy: str
    #: Empty if the log is not on this machine.
    log_tail: str


def show(page: Page) -> list[FailedRow]:
    """The failed rows, in the order of the table."""
    names = page.parameters[:MAX_PARAMETERS]
    return [
        FailedRow(
            page.flows[row.flow].label,
            row.run_id,
            row.state,
            tuple((name, shown(row.parameters[name])) for name in names if name in row.parameters),
            row.failure_class,
            row.reason,
            ROWS[row.failure_class].remedy if row.failure_class in ROWS else "",
            row.log_tail,
        )
        for row in page.rows
        if row.state in ROW_FAILED
    ]


VIEW = PageView("failed", show, link="Failed")
