"""Reader of the lines that a trainer prints."""

import re
from typing import Iterator, Optional, Sequence

from pytest_wf.agent.run.log_pump import MAX_LINE_CHARS
from pytest_wf.agent.run.metrics.log_grammar import HINTS, Count, LogLine, plain, read_line
from pytest_wf.agent.run.metrics.log_pattern import LogPattern
from pytest_wf.agent.run.metrics.log_steps import LogSteps
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.wire.metrics.sources import LOG

_NUMBER = re.compile(r"[0-9]|nan|inf", re.IGNORECASE)


class LogLines(MetricReader):
    """Finds metrics in the log of a run, by the grammar and by the user's pattern, if there is one.

    What the pattern names comes from the pattern alone.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.values = run.values(LOG)
        self._steps = LogSteps()
        self._pattern = LogPattern(run.log_pattern) if run.log_pattern else None

    def found(self) -> Sequence[Found]:
        """The log's values."""
        return [(LOG, self.values)]

    def take_log(self, text: str) -> None:
        """Read each line that may be a report."""
        if self._pattern is None:
            for line in _candidates(text):
                self._take(read_line(line))
            return
        for line in text.split("\n"):
            found = next((read_line(line) for line in _candidates(line)), None)
            self._take(self._pattern.merged(plain(line), found))

    def _take(self, found: Optional[LogLine]) -> None:
        if found is None:
            return
        if found.step is None and found.epoch is not None:
            at = self._run.step_at(found.epoch.at)
            found = found._replace(step=None if at is None else Count(at), is_of_epoch=False)
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
