"""Reader of the lines that a trainer prints."""

import re
from typing import Iterator, Optional

from pytest_wf.agent.run.log_pump import MAX_LINE_CHARS
from pytest_wf.agent.run.metrics.log_grammar import HINTS, LogLine, plain, read_line
from pytest_wf.agent.run.metrics.log_pattern import LogPattern
from pytest_wf.agent.run.metrics.log_steps import LogSteps
from pytest_wf.agent.run.metrics.values import MetricValues

_NUMBER = re.compile(r"[0-9]|nan|inf", re.IGNORECASE)


class LogLines:
    """Finds metrics in the log of a run, by the grammar and by the user's pattern, if there is one.

    What the pattern names comes from the pattern alone.
    """

    def __init__(self, pattern: str = "") -> None:
        self.values = MetricValues()
        self._steps = LogSteps()
        self._pattern = LogPattern(pattern) if pattern else None

    def take_log(self, text: str) -> None:
        """Read each line that may be a report."""
        if self._pattern is None:
            for line in _candidates(text):
                self._take(read_line(line))
            return
        for line in text.split("\n"):
            found = next((read_line(line) for line in _candidates(line)), None)
            self._take(self._pattern.merged(plain(line), found))

    def update(self) -> None:
        """Read nothing: the log comes by `take_log`."""

    def finish(self) -> None:
        """Read nothing: the log comes by `take_log`."""

    def _take(self, found: Optional[LogLine]) -> None:
        if found is None:
            return
        if not found.values:
            self._steps.note_epoch(found)
            if found.step is not None and self._pattern is not None and self._pattern.has_step:
                self._steps.take(found)
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
