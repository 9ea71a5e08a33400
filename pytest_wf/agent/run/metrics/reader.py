"""The interface of a metric reader, and what the readers of one run share."""

from abc import ABC, abstractmethod
from typing import Callable, Iterable, Optional, Sequence, Tuple

from pytest_wf.agent.run.metrics.out_files import OutFiles
from pytest_wf.agent.run.metrics.values import MetricValues

#: A source by its name (`wire.metrics.sources`), and what was read of it.
Found = Tuple[str, MetricValues]


class Run:
    """One run, as its readers see it."""

    def __init__(
        self,
        out_dir: str,
        names: Iterable[str] = (),
        values: Callable[[str], MetricValues] = lambda source: MetricValues(),
        log_pattern: str = "",
    ) -> None:
        #: The files with these names that the trainer writes below its `out_dir`.
        self.files = OutFiles(out_dir, names)
        #: Makes the values of a source, whose reports go to the run's record.
        self.values = values
        #: `METRICS_LOG_PATTERN`; '' if there is none.
        self.log_pattern = log_pattern
        #: Steps of one epoch, once a reader knows them: for reports that give only the epoch.
        self.steps_per_epoch: Optional[float] = None

    def step_at(self, epoch: Optional[float]) -> Optional[int]:
        """The step at an epoch; None if that is not known."""
        if epoch is None or self.steps_per_epoch is None:
            return None
        step = epoch * self.steps_per_epoch
        return round(step) if abs(step) < 1e15 else None


class MetricReader(ABC):
    """Reads one kind of source, piece by piece while the run trains.

    Nothing that a trainer writes may raise: a reader skips what it cannot read.
    """

    #: Whether its files are written only at intervals, so that the log is ahead of it.
    is_late = False

    @abstractmethod
    def found(self) -> Sequence[Found]:
        """What was read from each of its sources, in the order in which they count."""

    def take_log(self, text: str) -> None:  # noqa: B027 - not every one reads the log
        """Take whole lines of the log, without their timestamps. Called in the pump's thread."""

    def update(self) -> None:  # noqa: B027 - not every one reads files
        """Read what the run has written since the last call."""

    def finish(self) -> None:
        """Read all that is left, once the run has ended."""
        self.update()
