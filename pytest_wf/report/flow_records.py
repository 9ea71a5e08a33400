"""One flow as the views read it: its folder, its rows, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pytest_wf.report.folder import Folder
from pytest_wf.report.links import Links
from pytest_wf.report.model import PageRow
from pytest_wf.report.outcome import Outcome, outcome_of
from pytest_wf.report.phases import Phase, Span, phases_of


@dataclass(frozen=True)
class FlowRecords:
    """What is known of one flow."""

    folder: Folder
    #: 'A', 'B', … where the page has several flows; empty for one.
    label: str
    #: Every row that this flow knew of, those that another flow saw later included.
    rows: tuple[PageRow, ...]
    links: Links

    @cached_property
    def span(self) -> Span:
        """The time that the flow took."""
        return Span.of(self.folder)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """Its phases, in the order of their codes."""
        return phases_of(self.folder, self.span, self.links)

    @cached_property
    def outcome(self) -> Outcome:
        """How it ended."""
        return outcome_of(self.folder, self.phases, self.rows)
