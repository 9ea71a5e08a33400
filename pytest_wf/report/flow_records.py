"""One flow for the views: its folder, its rows, and derived data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pytest_wf.config.ranking import Ranking, rank
from pytest_wf.evidence.records import Baseline
from pytest_wf.project.parameters import differing
from pytest_wf.report.baseline import baseline_of
from pytest_wf.report.folder import Folder
from pytest_wf.report.links import Links
from pytest_wf.report.model import PageRow
from pytest_wf.report.outcome import Outcome, outcome_of, running_outcome
from pytest_wf.report.phases import Phase, Span, phases_of


@dataclass(frozen=True)
class FlowRecords:
    """The data of one flow."""

    folder: Folder
    #: 'A', 'B', … if the page has several flows; empty for one.
    label: str
    #: Every row of this flow, including those that another flow saw later.
    rows: tuple[PageRow, ...]
    links: Links
    #: Whether the flow itself draws the page, before its end.
    is_running: bool = False

    @cached_property
    def span(self) -> Span:
        """The duration of the flow."""
        return Span.of(self.folder)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """Its phases, in the order of their codes."""
        return phases_of(self.folder, self.span, self.links)

    @cached_property
    def outcome(self) -> Outcome:
        """Its result, or its present state."""
        if self.is_running:
            return running_outcome(self.phases, self.rows)
        return outcome_of(self.folder, self.phases, self.rows)

    @cached_property
    def ranking(self) -> Ranking:
        """The ranking of its rows."""
        return rank(self.rows, self.folder.start.rank_by if self.folder.start is not None else "")

    @property
    def failed_phases(self) -> tuple[str, ...]:
        """Codes of the phases whose verdict is not a pass."""
        judged = ((code, files.verdict) for code, files in self.folder.phases.items())
        return tuple(code for code, v in judged if v and not (v.phase_pass and v.code == 0))

    @cached_property
    def differing(self) -> tuple[str, ...]:
        """The parameters that differ between its rows."""
        return tuple(differing(row.parameters for row in self.rows))

    @cached_property
    def baseline(self) -> Baseline | None:
        """The baseline that it was compared with, as P00 kept it; None if there was none."""
        return baseline_of(self.folder)
