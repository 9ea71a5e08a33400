"""Reader of log lines such as ``step 100: train loss 1.23, val loss 1.30``.

`sources` lists the readers of metrics, the preferred one first.
"""

import re

from pytest_wf.agent.run.log_pump import MAX_LINE_CHARS
from pytest_wf.agent.run.metrics.values import MetricValues

_STEP = re.compile(r"\A\s*(?:step|iter|iteration)[\s:=]+(\d+)(?:/(\d+))?[\s:,]*", re.IGNORECASE)
_PAIR = re.compile(
    r"([A-Za-z_][A-Za-z0-9_]*(?: [A-Za-z_][A-Za-z0-9_]*){0,3})[ ]?[:= ][ ]?"
    r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))(?:ms|s|%|MB|GB)?(?=[,;\s]|\Z)",
    re.IGNORECASE,
)
#: Only text that has one of these is split into lines: most output has none.
_WORDS = ("step", "iter", "Step", "Iter")
_MAX_DIGITS = 18


class LogLines:
    """Finds metrics in the log of a run."""

    def __init__(self, _out_dir: str) -> None:
        self.values = MetricValues()

    def take_log(self, text: str) -> None:
        """Read each line that begins with a step."""
        if any(word in text for word in _WORDS):
            for line in text.split("\n"):
                self._take(line)

    def update(self) -> None:
        """Read nothing: the log comes by `take_log`."""

    def finish(self) -> None:
        """Read nothing: the log comes by `take_log`."""

    def _take(self, line: str) -> None:
        if len(line) > MAX_LINE_CHARS:
            return
        step = _STEP.match(line)
        if step is None or len(step.group(1)) > _MAX_DIGITS:
            return
        pairs = _PAIR.findall(line, step.end())
        if pairs:
            values = {"_".join(name.split()): float(number) for name, number in pairs}
            self.values.take(int(step.group(1)), values)
            if step.group(2) and len(step.group(2)) <= _MAX_DIGITS:
                self.values.total_steps = int(step.group(2))
