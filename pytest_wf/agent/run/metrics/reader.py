"""The interface of a metric reader: one source, read piece by piece while the run trains."""

from typing import Protocol

from pytest_wf.agent.run.metrics.values import MetricValues


class MetricReader(Protocol):
    """Collects what one source says in `values`. A reader of files ignores log text.

    Nothing that a trainer writes may raise: what a reader cannot read it leaves out.
    """

    values: MetricValues

    def take_log(self, text: str) -> None:
        """Take whole lines of the log, without their timestamps. Called in the pump's thread."""

    def update(self) -> None:
        """Read what the run has written since the last call."""

    def finish(self) -> None:
        """Read all that is left, once the run has ended."""
