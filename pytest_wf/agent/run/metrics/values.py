"""The metrics of a run: the last value of each, and the step that it is at."""

import math
from typing import Any, Callable, Dict, Optional

#: Distinct names that are kept.
MAX_NAMES = 256
MAX_NAME_CHARS = 128
#: How many metrics the live progress shows.
PROGRESS_NAMES = 8

#: Names under which a report may say how many steps there will be.
TOTAL_STEPS_NAMES = ("total_steps", "max_steps", "max_iters", "num_iterations")


class MetricValues:
    """The last value of each metric that a run reported, and the step that it is at."""

    def __init__(self) -> None:
        self.step: Optional[int] = None
        #: How many steps there will be, where the run says so.
        self.total_steps: Optional[int] = None
        self.last: Dict[str, float] = {}
        #: Metrics whose last value was not finite, as 'nan', 'inf' or '-inf': a finite value
        #: from before is not how the run ended.
        self.non_finite: Dict[str, str] = {}
        #: Reports that were read.
        self.points = 0
        #: How many values were not finite, in all and by name.
        self.dropped = 0
        self.dropped_names: Dict[str, int] = {}
        #: Gets the step and the numbers of each report, where it is set.
        self.on_report: Optional[Callable[[Optional[int], Dict[str, Any]], None]] = None

    def take(self, step: Optional[int], values: Dict[str, Any]) -> None:
        """Take one report. What is not a number is left out; a non-finite number is counted."""
        self.points += 1
        if step is not None:
            self.step = step
        taken: Dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            is_known = name in self.last or name in self.non_finite
            if len(name) > MAX_NAME_CHARS or (not is_known and self._is_full()):
                continue
            taken[name] = value
            if not is_finite(value):
                self.dropped += 1
                self.dropped_names[name] = self.dropped_names.get(name, 0) + 1
                self.non_finite[name] = _non_finite_text(value)
                continue
            self.non_finite.pop(name, None)
            self.last[name] = value
            if name in TOTAL_STEPS_NAMES:
                self.total_steps = int(value)
        if self.on_report is not None:
            self.on_report(step, taken)

    def summary(self) -> Dict[str, Any]:
        """The metrics as a summary has them: last values, and the step as 'step'.

        A value that is NaN or infinite is text: 'nan', 'inf' or '-inf'.
        """
        found: Dict[str, Any] = dict(self.last)
        found.update(self.non_finite)
        if self.step is not None:
            found["step"] = self.step
        return found

    def progress(self) -> Optional[Dict[str, Any]]:
        """The step and a few metrics, losses first; None where nothing was reported yet."""
        if not self.points:
            return None
        names = sorted(self.last, key=lambda name: ("loss" not in name, name))
        found: Dict[str, Any] = {"step": self.step}
        found.update((name, self.last[name]) for name in names[:PROGRESS_NAMES])
        return found

    def _is_full(self) -> bool:
        return len(set(self.last) | set(self.non_finite)) >= MAX_NAMES


def is_finite(value: Any) -> bool:
    """Whether a number is finite as a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _non_finite_text(value: float) -> str:
    if value != value:
        return "nan"
    return "inf" if value > 0 else "-inf"
