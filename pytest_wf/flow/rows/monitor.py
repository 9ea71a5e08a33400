"""A flow's knowledge of its sweep: statuses of rows, expectations, ends of logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.project.expectations import Expectations
from pytest_wf.project.project import Project
from pytest_wf.wire.files import pretty_json
from pytest_wf.wire.rows import CampaignStatus, Note, RowStatus
from pytest_wf.wire.states import PENDING, UNKNOWN

#: The most failed rows whose log's end is in the evidence, and its size.
_MAX_LOG_TAILS = 200
_MAX_LOG_TAIL_CHARS = 8_000


class SweepView(Protocol):
    """A campaign on one pod or on several: see `operations.sweep.Sweep`."""

    @property
    def expectations(self) -> Expectations: ...
    @property
    def campaign_id(self) -> str | None: ...
    @property
    def last_rows(self) -> list[RowStatus]: ...
    def last_row(self, run_id: str) -> RowStatus | None: ...
    def owner_of(self, run_id: str) -> str: ...
    def status(self, *, fresh: bool = False) -> CampaignStatus | None: ...
    def row(self, run_id: str) -> RowStatus | None: ...
    def follow(self, run_id: str, *, wait: bool) -> RowStatus: ...
    def follow_all(self) -> CampaignStatus: ...
    def wait_for_news(self, run_id: str) -> None: ...
    def tail(self, run_id: str, max_bytes: int = ...) -> str: ...


class Monitor:
    """One flow's view of its campaign. Only `sweep` and `watch` contact the pod."""

    def __init__(
        self,
        project: Project,
        open_sweep: Callable[[Callable[[CampaignStatus], None]], SweepView],
        on_status: Callable[[CampaignStatus], None],
    ) -> None:
        self._project = project
        self._open_sweep = open_sweep
        #: Called, in order, with every received status.
        self.observers = [on_status]
        self._sweep: SweepView | None = None
        self._log_tails: dict[str, str] = {}
        #: The estimated cost of the rest of the sweep, by the first row that ended; None before.
        self.estimate: dict[str, Any] | None = None
        #: Notes on rows by this machine, by run id.
        self._notes: dict[str, Note] = {}

    @property
    def sweep(self) -> SweepView:
        """The campaign that this flow started, resumed, or found on the pod."""
        if self._sweep is None:
            self._sweep = self._open_sweep(self._learnt)
        return self._sweep

    def owner_of(self, run_id: str) -> str:
        """The member whose pod has the row, as last known; '' for none. No contact."""
        return self._sweep.owner_of(run_id) if self._sweep is not None else ""

    def _learnt(self, status: CampaignStatus) -> None:
        for observer in self.observers:
            observer(status)

    @property
    def rows(self) -> list[RowStatus]:
        """The latest status of the campaign's rows; no contact."""
        return [self._noted(row) for row in self._sweep.last_rows] if self._sweep else []

    @property
    def selected(self) -> list[RowStatus]:
        """The campaign's rows, without those that the flow's selection leaves out."""
        deselected = set(self._project.deselected)
        return [row for row in self.rows if row.run_id not in deselected]

    def row(self, run_id: str) -> RowStatus:
        """The latest status of a row; unknown if it has none. No contact."""
        found = self._sweep.last_row(run_id) if self._sweep is not None else None
        return self._noted(found or RowStatus(run_id, UNKNOWN))

    def note(self, run_id: str, note: Note) -> None:
        """Add a note to a row, replacing an earlier one."""
        self._notes[run_id] = note

    def _noted(self, row: RowStatus) -> RowStatus:
        note = self._notes.get(row.run_id)
        return row if note is None else row._replace(notes=(*row.notes, note))

    def keep_log_tail(self, run_id: str, text: str) -> None:
        """Keep the end of a failed row's log; P70's evidence includes those kept before it."""
        if text and len(self._log_tails) < _MAX_LOG_TAILS:
            self._log_tails[run_id] = text[-_MAX_LOG_TAIL_CHARS:]

    def log_tail(self, run_id: str) -> str:
        """The end of a failed row's log, redacted; empty if none was kept."""
        return self._log_tails.get(run_id, "")

    def kept_log_tails(self) -> list[ArtifactNote]:
        """The kept ends of logs, as an artifact; empty if no row has failed."""
        if not self._log_tails:
            return []
        tails = pretty_json(self._log_tails)
        return [ArtifactNote("log-tails", "log-tails.json", content=tails)]

    def watch(self) -> Result:
        """Wait for the whole campaign, or take one snapshot of it, as the options say."""
        options = self._project.options
        waits = options.wait and options.sweep != "skip"
        status = self.sweep.status(fresh=True)
        if status is None:
            return Result("sweep-watch", skipped="there is no campaign on the pod")
        if waits:
            status = self.sweep.follow_all()
        failed = [row for row in self.selected if row.ok is False]
        if self._project.config.sweep_fail_fast and failed:
            raise OperationFailed(
                "row-failed",
                f"SWEEP_FAIL_FAST=1 stops the flow: row{'s' * (len(failed) > 1)} "
                f"{', '.join(row.run_id for row in failed)} failed.",
                "Look at the rows' cases; continue with `--wf-sweep=resume`.",
            )
        facts: dict[str, Any] = {
            "campaign_id": status.campaign_id,
            "manifest_sha256": status.manifest_sha256,
            "supervisor": status.supervisor,
            "counts": status.counts(),
            "waited": waits,
            "rows": {row.run_id: row.as_json() for row in status.rows},
            "baseline": self.sweep.expectations.baseline_of(status.rows),
        }
        if self.estimate is not None:
            facts["estimate"] = self.estimate
        if status.ceiling:
            left = [row.run_id for row in self.selected if row.state == PENDING]
            facts |= {"ceiling": status.ceiling, "left": left}
        return Result("sweep-watch", facts)
