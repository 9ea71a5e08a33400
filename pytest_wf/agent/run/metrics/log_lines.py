"""Reader of the lines that a trainer prints."""

import re
from typing import Iterator

from pytest_wf.agent.run.log_pump import MAX_LINE_CHARS
from pytest_wf.agent.run.metrics.log_grammar import HINTS, read_line
from pytest_wf.agent.run.metrics.log_steps import LogSteps
from pytest_wf.agent.run.metrics.values import MetricValues

_NUMBER = re.compile(r"[0-9]|nan|inf", re.IGNORECASE)


class LogLines:
    """Finds metrics in the log of a run."""

    def __init__(self, _out_dir: str) -> None:
        self.values = MetricValues()
        self._steps = LogSteps()

    def take_log(self, text: str) -> None:
        """Read each line that may be a report."""
        for line in _candidates(text):
            self._take(line)

    def update(self) -> None:
        """Read nothing: the log comes by `take_log`."""

    def finish(self) -> None:
        """Read nothing: the log comes by `take_log`."""

    def _take(self, line: str) -> None:
        found = read_line(line)
        if found is None:
            return
        if not found.values:
            self._steps.note_epoch(found)
            return
        step = self._steps.take(found)
        if found.epoch is not None:
            found.values.setdefault("epoch", found.epoch.at)
        self.values.take(step, found.values)
        self.values.total_steps = self._steps.total or self.values.total_steps


def _candidates(text: str) -> Iterator[str]:
    """The lines that have a hint and a number, in their order. Most output has none."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = text
    starts = set()
    for hint in HINTS:
        at = lower.find(hint)
        while at >= 0:
            starts.add(lower.rfind("\n", 0, at) + 1)
            end = lower.find("\n", at)
            at = lower.find(hint, end) if end >= 0 else -1
    for start in sorted(starts):
        end = text.find("\n", start)
        line = text[start:end] if end >= 0 else text[start:]
        if len(line) <= MAX_LINE_CHARS and _NUMBER.search(line):
            yield line
