"""One sweep row as a test case sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_wf.config.expect import Judgement
from pytest_wf.errors import NotAwaited
from pytest_wf.project.expectations import JudgedRow
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.states import DRY_RUN, UNKNOWN

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState

_TAIL_LINES = 40


class RunView:
    """A row of the campaign: follow it to its end, ask how it went, read its log."""

    def __init__(self, flow: FlowState, run_id: str) -> None:
        self._flow = flow
        self.run_id = run_id

    def __repr__(self) -> str:
        return f"RunView({self.run_id!r})"

    def follow(self) -> None:
        """Wait until the row has ended.

        Where the flow does not wait, a row that has not ended raises `NotAwaited`, which the
        plugin reports as 'launched'. Raises OperationFailed where its fate is unknown.
        """
        flow = self._flow
        if flow.project.options.sweep == "skip" and flow.sweep.row(self.run_id) is None:
            raise NotAwaited("not launched: --wf-sweep=skip, and the pod has no such row")
        wait = flow.project.options.wait and flow.project.options.sweep != "skip"
        row = flow.sweep.follow(self.run_id, wait=wait)
        if row.state == DRY_RUN:
            raise NotAwaited("dry run: the command was written, nothing was trained")

    @property
    def row(self) -> JudgedRow:
        """The row as last seen, with the judgements on its metrics; its state is unknown where
        the campaign does not have it."""
        found = self._flow.sweep.row(self.run_id)
        return self._flow.watched.expectations.judge(found or RowStatus(self.run_id, UNKNOWN))

    @property
    def state(self) -> str:
        """The row's state as last seen, 'unknown' where there is none."""
        return self.row.status.state

    @property
    def ok(self) -> bool:
        """Whether the row is known to have trained to a good end, with the metrics that were
        expected of it."""
        return self.row.ok is True

    @property
    def broken(self) -> list[Judgement]:
        """The expectations (`WF_EXPECT`, column `expect`) that the row's metrics do not meet."""
        return self.row.broken

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The row's last metrics by name; one that ended as NaN or infinite is text."""
        return dict(self.row.status.metrics)

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of the row's log; empty where it cannot be had."""
        return "\n".join(self._flow.sweep.tail(self.run_id).splitlines()[-lines:])

    def why(self) -> str:
        """How the row ended, in words, with the end of its log."""
        judged = self.row
        row, broken = judged.status, judged.broken
        parts = [f"row {self.run_id} {row.state}"]
        if broken:
            parts = [f"row {self.run_id} trained to its end and is not what was expected"]
        if row.failure_class:
            parts.append(f"class {row.failure_class}")
        if row.exit_code is not None:
            parts.append(f"exit status {row.exit_code}")
        parts.append(f"{row.attempts} attempt{'' if row.attempts == 1 else 's'}")
        text = ", ".join(parts)
        if row.reason:
            text += f"\nbecause: {row.reason}"
        text += "".join(f"\n{judgement}" for judgement in broken)
        tail = self._flow.redactor.text(self.log_tail())
        self._flow.watched.keep_log_tail(self.run_id, tail)
        return f"{text}\n--- end of its log ---\n{tail}" if tail else text
