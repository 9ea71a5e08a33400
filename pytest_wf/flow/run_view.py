"""One sweep row, for a test of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_wf.court.explanations import ROWS
from pytest_wf.errors import NotAwaited
from pytest_wf.flow.rows.row_text import failure_of
from pytest_wf.project.expectations import broken_of
from pytest_wf.wire.rows import Extremes, RowStatus
from pytest_wf.wire.states import DRY_RUN, UNKNOWN

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState

_TAIL_LINES = 40


class RunView:
    """A row of the campaign: wait for its end, get its result, read its log."""

    def __init__(self, flow: FlowState, run_id: str) -> None:
        self._flow = flow
        self.run_id = run_id
        #: The last text of `why`: a failure with it needs no source line of the test.
        self.said = ""

    def __repr__(self) -> str:
        return f"RunView({self.run_id!r})"

    def follow(self) -> None:
        """Wait until the row has ended.

        If the flow does not wait, a row that has not ended raises `NotAwaited`, which the
        plugin reports as 'launched'. Raises OperationFailed if its result is unknown.
        """
        flow = self._flow
        if flow.project.options.sweep == "skip" and flow.sweep.row(self.run_id) is None:
            raise NotAwaited("not launched: --wf-sweep=skip, and the pod has no such row")
        wait = flow.project.options.wait and flow.project.options.sweep != "skip"
        row = flow.sweep.follow(self.run_id, wait=wait)
        if row.state == DRY_RUN:
            raise NotAwaited("dry run: the command was written, nothing was trained")

    @property
    def row(self) -> RowStatus:
        """The latest status of the row, with its metrics judged by their expectations; its state is
        unknown if it is not in the campaign."""
        return self._flow.sweep.row(self.run_id) or RowStatus(self.run_id, UNKNOWN)

    @property
    def state(self) -> str:
        """The row's latest state, 'unknown' if there is none."""
        return self.row.state

    @property
    def ok(self) -> bool:
        """Whether the row is known to have succeeded, with metrics that meet their
        expectations."""
        return self.row.ok is True

    @property
    def broken(self) -> list[str]:
        """The expectations (`WF_EXPECT`, column `expect`) that the row's metrics do not meet, one
        sentence each."""
        return broken_of(self.row)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The row's last metrics by name; one that ended as NaN or infinite is text."""
        return dict(self.row.metrics)

    @property
    def extremes(self) -> Mapping[str, Extremes]:
        """The least and the greatest value of each metric, with their steps (`min`, `min_step`)."""
        return dict(self.row.extremes)

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of the row's log; empty if it cannot be read."""
        return "\n".join(self._flow.sweep.tail(self.run_id).splitlines()[-lines:])

    def why(self) -> str:
        """How the row ended, what to do about it, and the end of its log."""
        text = failure_of(self.row)
        explained = ROWS.get(self.row.failure_class or "")
        if explained:
            text += f"\nto do: {explained.remedy} (wf explain {self.row.failure_class})"
        tail = self._flow.redactor.shown(self.log_tail())
        self._flow.watched.keep_log_tail(self.run_id, tail)
        self.said = f"{text}\n--- end of its log ---\n{tail}" if tail else text
        return self.said
