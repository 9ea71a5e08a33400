"""The metrics of a run: for each the last, the least and the greatest value, and their steps."""

import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from pytest_wf.agent.run.metrics.numbers import number
from pytest_wf.wire.rows import Extremes

#: The most distinct names that are kept.
MAX_NAMES = 256
MAX_NAME_CHARS = 128
#: How many metrics the live progress shows.
PROGRESS_NAMES = 8

#: Names under which a report may give the number of steps.
TOTAL_STEPS_NAMES = frozenset(("total_steps", "max_steps", "max_iters", "num_iterations"))

_INFINITY = float("inf")
_NAN = float("nan")
#: A larger whole number is not a float.
_LARGEST = 10**308
_MOST_STEPS = 10**18


class Metric:
    """The values reported under one name. `least` is above `greatest` if all were NaN."""

    __slots__ = (
        "greatest",
        "greatest_step",
        "last",
        "least",
        "least_step",
        "odd",
        "reports",
        "step",
    )

    def __init__(self) -> None:
        self.last: float = _NAN
        self.step: Optional[int] = None
        self.least, self.greatest = _INFINITY, -_INFINITY
        self.least_step: Optional[int] = None
        self.greatest_step: Optional[int] = None
        #: How often it was reported, and how often that was NaN or infinite.
        self.reports = 0
        self.odd = 0

    def extremes(self) -> Optional[Extremes]:
        """Its extremes and the steps of all three values; None if there are none."""
        if self.least > self.greatest:
            return None
        least, greatest = as_json(self.least), as_json(self.greatest)
        return Extremes(self.step, least, self.least_step, greatest, self.greatest_step)


class MetricValues:
    """The metrics that a run reported, and the step that it is at."""

    def __init__(self) -> None:
        self.step: Optional[int] = None
        #: How many steps there will be, if the run gives that.
        self.total_steps: Optional[int] = None
        #: Reports that were read.
        self.points = 0
        #: Called with the step and the numbers of each report, if it is set.
        self.on_report: Optional[Callable[[Optional[int], Dict[str, Any]], None]] = None
        #: Masks secrets in a name, as a trainer may put anything there.
        self.mask: Callable[[str], str] = str
        self._metrics: Dict[str, Metric] = {}

    def take(
        self, step: Optional[int], values: Mapping[str, Any], is_repeated: bool = False
    ) -> None:
        """Take one report. One that is read again is not counted again.

        A value that is not a number is left out, unless its metric had a number. In that case, and
        if it is None, it counts as NaN: an older value is not how the run ended.
        """
        self.points += 1
        if step is not None:
            self.step = step
        taken: Dict[str, Any] = {}
        for name, value in values.items():
            name = self.mask(name)
            metric = self._metrics.get(name)
            if type(value) is not float:
                value = _as_number(value, metric is not None)
                if value is None:
                    continue
            if metric is None:
                if len(name) > MAX_NAME_CHARS or len(self._metrics) >= MAX_NAMES:
                    continue
                metric = self._metrics[name] = Metric()
            taken[name] = value
            metric.last, metric.step = value, step
            is_new = not (is_repeated and metric.reports)
            metric.reports += is_new
            if value < metric.least:
                metric.least, metric.least_step = value, step
            if value > metric.greatest:
                metric.greatest, metric.greatest_step = value, step
            if value - value != 0:
                metric.odd += is_new or not metric.odd
            elif name in TOTAL_STEPS_NAMES and 0 < value < _MOST_STEPS:
                self.total_steps = int(value)
        if self.on_report is not None:
            self.on_report(step, taken)

    def metrics(self) -> List[Tuple[str, Metric]]:
        """Each metric by its name, in the order of their first reports; thread-safe."""
        return list(self._metrics.items())

    def have(self, name: str, metric: Metric) -> None:
        """Add a metric that is read elsewhere."""
        self._metrics[name] = metric

    def summary(self) -> Dict[str, Any]:
        """The last value of each metric, and the step as 'step'.

        A value that is NaN or infinite is text: 'nan', 'inf' or '-inf'.
        """
        found = {name: as_json(metric.last) for name, metric in self.metrics()}
        if self.step is not None:
            found["step"] = self.step
        return found

    def extremes(self) -> Dict[str, Extremes]:
        """The extremes of each metric that was not always NaN."""
        found = ((name, metric.extremes()) for name, metric in self.metrics())
        return {name: extremes for name, extremes in found if extremes is not None}

    def progress(self) -> Optional[Dict[str, Any]]:
        """The step and a few metrics, losses first; None if nothing was reported yet."""
        if not self.points:
            return None
        metrics = sorted(self.metrics(), key=lambda one: ("loss" not in one[0], one[0]))
        found: Dict[str, Any] = {"step": self.step}
        found.update((name, as_json(metric.last)) for name, metric in metrics[:PROGRESS_NAMES])
        return found

    def oddities(self) -> List[str]:
        """A line for each metric that was NaN or infinite, first those whose last value is."""
        odd = [(name, metric) for name, metric in self.metrics() if metric.odd]
        return [
            "%s: %s, not finite in %d of %d reports"
            % (name, as_json(metric.last), metric.odd, metric.reports)
            for name, metric in sorted(odd, key=lambda one: (is_finite(one[1].last), one[0]))
        ]


def is_finite(value: float) -> bool:
    """Whether a number is finite as a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def finite(value: Any) -> Optional[float]:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not is_finite(value):
        return None
    return value


def whole(value: Any) -> Optional[int]:
    """A finite whole number; None for anything else."""
    found = finite(value)
    return int(found) if found is not None and found == int(found) else None


def as_json(value: float) -> Any:
    """A number in the form of records: text if it is NaN or infinite."""
    if value != value:
        return "nan"
    if value in (_INFINITY, -_INFINITY):
        return "inf" if value > 0 else "-inf"
    return value


def _as_number(value: Any, is_known: bool) -> Optional[float]:
    """`value`, which is not a float, as a number; None if it is to be left out."""
    if type(value) is int:
        return value if -_LARGEST < value < _LARGEST else math.copysign(_INFINITY, value > 0 or -1)
    if value is None:
        return _NAN
    found = number(value.strip()) if isinstance(value, str) else None
    return _NAN if found is None and is_known else found
