"""The step of each report in a log, from its lines."""

from typing import Optional

from pytest_wf.agent.run.metrics.log.form import Count, LogLine


class LogSteps:
    """Counts the steps of a run.

    The step is the one in a line, else that of the report before it. If no line had one, it is the
    last epoch, or the number of reports. Steps that restart with each epoch are added up.
    """

    def __init__(self) -> None:
        #: How many steps there will be, if that is known.
        self.total: Optional[int] = None
        self._step: Optional[int] = None
        self._reports = 0
        self._epoch: Optional[Count] = None
        self._is_new_epoch = False
        #: Steps of the epochs before this one; of this one, the last and the most that were seen.
        self._before = 0
        self._last = 0
        self._most = 0
        #: Whether the line with the last step gave an epoch too.
        self._said_epoch = False

    def take(self, line: LogLine) -> int:
        """The step of a report."""
        self._reports += 1
        self._take_epoch(line)
        if line.step is not None:
            self._take_step(line.step, line)
        elif self._step is None and self._epoch is not None:
            self.total = self._epoch.total or self.total
            return int(self._epoch.at)
        return self._reports if self._step is None else self._step

    def note(self, line: LogLine) -> None:
        """Take from a line that is not a report what holds for the lines after it.

        That is its epoch, and its step if it gives nothing else.
        """
        self._take_epoch(line)
        if line.is_heading and line.step is not None:
            self._take_step(line.step, line)

    def _take_epoch(self, line: LogLine) -> None:
        """Take the epoch of a line that gives a whole one."""
        epoch = line.epoch
        if epoch is None or not isinstance(epoch.at, int):
            return
        if self._epoch is not None and epoch.at > self._epoch.at:
            self._is_new_epoch = True
        self._epoch = epoch

    def _take_step(self, step: Count, line: LogLine) -> None:
        at = int(step.at)
        says_epoch = line.epoch is not None
        # a bar over all epochs that was drawn at this step before, without an epoch after it
        is_drawn_again = at == self._last and says_epoch and not self._said_epoch
        if self._is_new_epoch and at <= self._last and not is_drawn_again:
            self._before += self._most
            self._most = 0
        self._is_new_epoch = False
        self._last = at
        self._said_epoch = says_epoch
        self._most = max(self._most, step.total or at)
        self._step = self._before + at
        epochs = self._epoch.total if self._epoch is not None else None
        if self._before or (line.is_of_epoch and self._epoch is not None):
            self.total = epochs * self._most if epochs and step.total else None
        else:
            self.total = step.total or self.total
