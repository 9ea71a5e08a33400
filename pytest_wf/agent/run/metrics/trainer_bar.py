"""Reader of the progress bar of Hugging Face's Trainer, whose log lines give no step.

With it the step of a row and its number of steps are known before its first checkpoint. Other bars
look like it: the training's bar is the one before a line with the training's loss.
"""

import re
from typing import Optional, Sequence, Tuple

from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.wire.metrics.sources import LOG

# a bar without a name, or a report that gives the epoch and no step
_LINE = re.compile(
    r"^[ \t]*(?:[0-9]{1,3}%\|[^|\n]*\|[ \t]*([0-9]{1,12})/([0-9]{1,12})[ \t]\[[^\n]*"
    r"|\{'loss': [^\n]*'epoch': '?[0-9.]+'?\})[ \t]*$",
    re.MULTILINE,
)
_HINTS = ("it/s]", "s/it]", "?it/s", "{'loss': ")


class TrainerBar(MetricReader):
    """Provides the step and the number of steps, but no metric."""

    def __init__(self, run: Run) -> None:
        self.values = run.values(LOG)
        #: The last bar: how far it was, and its total; and the total of the training's bar.
        self._bar: Optional[Tuple[int, int]] = None
        self._total = 0

    def found(self) -> Sequence[Found]:
        """The step, once the training's bar is known."""
        return [(LOG, self.values)]

    def take_log(self, text: str) -> None:
        """Look for bars and reports."""
        if not any(hint in text for hint in _HINTS):
            return
        for line in _LINE.finditer(text):
            if line.group(1):
                self._bar = int(line.group(1)), int(line.group(2))
            elif self._bar is not None:
                self._total = self._bar[1]
            if self._bar is not None and self._bar[1] == self._total:
                self.values.step, self.values.total_steps = self._bar
