"""A run's metrics over its steps, thinned so that no spike is lost.

`metrics.jsonl` comes from the pod: every line is parsed strictly, lines that are not reports are
counted and left out, and its content does not decide how much is kept.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pytest_wf.config.ranking import goal_of
from pytest_wf.wire.metrics.sources import TENSORBOARD, rank
from pytest_wf.wire.rows import NO_SOURCES

#: The most names of one run, and the most curves that are kept of them.
MAX_NAMES = 256
MAX_NAME_CHARS = 128
MAX_CURVES = 12
MAX_LINE_BYTES = 64 * 1024

#: Metrics that place a step on another axis: seconds of training, epochs.
_AXES = {
    "time": ("elapsed_s", "elapsed", "_runtime", "runtime", "wall_time", "_timestamp", "timestamp"),
    "epoch": ("epoch", "epochs"),
}
_MAX_AXIS_POINTS = 200
#: From this number of seconds on, a value is a date, not a duration.
_A_DATE = 1e9

# pairs as a list: a dict would hide duplicate keys
_DECODER = json.JSONDecoder(object_pairs_hook=list)


Axes = dict[str, tuple[list[float], list[float]]]
#: By name: steps and values.
Points = Mapping[str, tuple[Sequence[float], Sequence[float]]]
NO_POINTS: Points = {}


@dataclass(frozen=True)
class Curve:
    """One metric of one run: `y` over increasing `x`."""

    x: Sequence[float]
    y: Sequence[float]
    #: The number of its points in the file, before thinning.
    points: int


@dataclass(frozen=True)
class Metrics:
    """The contents of a run's `metrics.jsonl`."""

    curves: dict[str, Curve] = field(default_factory=dict)
    #: By axis, 'time' or 'epoch': steps, and their positions on it.
    axes: Axes = field(default_factory=dict)
    #: Notes on the curves, one sentence each.
    notes: tuple[str, ...] = ()


def is_loss(name: str) -> bool:
    """Whether a metric is a loss, which people look at first."""
    return "loss" in name.lower()


def interest(name: str) -> tuple[bool, bool, str]:
    """A sort key for metrics: those with a known better direction first, losses before others."""
    return goal_of(name) is None, not is_loss(name), name


def read_metrics(
    raw: bytes,
    *,
    most_points: int,
    every: int = 1,
    scalars: Points = NO_POINTS,
    sources: Mapping[str, str] = NO_SOURCES,
) -> Metrics:
    """The curves in `raw`, each of at most `most_points` points.

    Of several attempts, the last one counts; of several sources of a metric, the first one in
    their order. A step that is repeated, or lower than the last, replaces all points from that
    step on. `every` is n to read every n-th line and the last one. `scalars` are TensorBoard's;
    `sources` are those in the run's result.
    """
    reader = _Reader(sources)
    for number, line in _lines(raw, every):
        reader.take(number, line)
    reader.take_scalars(scalars)
    return reader.metrics(most_points, every)


def thinned(x: Sequence[float], y: Sequence[float], most: int) -> tuple[list[float], list[float]]:
    """At most `most` of the points: the first, the last, and for each section in between its
    lowest and its highest."""
    count = len(x)
    if count <= max(most, 4):
        return list(x), list(y)
    stretches = (max(most, 4) - 2) // 2
    kept = [0]
    for i in range(stretches):
        start = 1 + (count - 2) * i // stretches
        end = 1 + (count - 2) * (i + 1) // stretches
        if start < end:
            low = min(range(start, end), key=y.__getitem__)
            high = max(range(start, end), key=y.__getitem__)
            kept.extend(sorted({low, high}))
    kept.append(count - 1)
    return [x[i] for i in kept], [y[i] for i in kept]


def _lines(raw: bytes, every: int) -> Iterator[tuple[int, bytes]]:
    lines = raw.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    last = len(lines) - 1
    for block in range(-(-len(lines) // every)):
        # not always the same position: lines of several sources may alternate
        number = block * every + block * 7 % every
        if number < last:
            yield number, lines[number]
    if lines:
        yield last, lines[last]


class _Series:
    """The points of one metric in the order in which they are read."""

    def __init__(self) -> None:
        self.x = array("d")
        self.y = array("d")
        #: The points that were replaced: value by step.
        self._replaced: dict[float, float] = {}
        self.not_finite = 0
        self.first_not_finite = 0.0

    def take(self, x: float, y: float) -> None:
        while self.x and self.x[-1] >= x:
            self._replaced[self.x.pop()] = self.y.pop()
        if math.isfinite(y):
            self.x.append(x)
            self.y.append(y)
            return
        if not self.not_finite:
            self.first_not_finite = x
        self.not_finite += 1

    @property
    def replaced(self) -> int:
        """How many points are no more what they were.

        A table that gets a column is written anew, and all of it is read again.
        """
        now = dict(zip(self.x, self.y, strict=True)) if self._replaced else {}
        return sum(now.get(x) != y for x, y in self._replaced.items())


_BySource = dict[tuple[str, str], _Series]


class _Reader:
    """Reads lines, one report each, and makes the curves."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        #: Reports with a step, and those without one, which are drawn over their line number: by
        #: source and name.
        self._stepped: _BySource = {}
        self._unstepped: _BySource = {}
        self._attempt = 0.0
        #: By source: when each step of the attempt was first read on the pod.
        self._at: dict[str, _Series] = {}
        self._bad_lines = 0

    def take(self, number: int, line: bytes) -> None:
        if not line.strip():
            return
        report = _report(line)
        if report is None:
            self._bad_lines += 1
            return
        attempt, source = _number(report.pop("attempt", None)) or 0.0, report.pop("source", "")
        if attempt > self._attempt:
            self._stepped, self._unstepped, self._attempt = {}, {}, attempt
            self._at = {}
        elif attempt < self._attempt:
            return
        step, at_s = report.pop("step", None), _number(report.pop("at_s", None))
        x = _number(step)
        if step is not None and (x is None or not math.isfinite(x)):
            self._bad_lines += 1
            return
        if x is not None and at_s is not None and (source in self._at or len(self._at) < MAX_NAMES):
            at = self._at.setdefault(str(source), _Series())
            if not at.x or x > at.x[-1]:
                at.take(x, at_s)
        found = self._unstepped if x is None else self._stepped
        for name, value in report.items():
            y = _number(value)
            if y is None or not 0 < len(name) <= MAX_NAME_CHARS:
                continue
            key = (str(source), name)
            if key not in found:
                if len(found) >= MAX_NAMES:
                    continue
                found[key] = _Series()
            found[key].take(float(number + 1) if x is None else x, y)

    def take_scalars(self, scalars: Points) -> None:
        """Add TensorBoard's points of the last attempt, by name."""
        for name, (steps, values) in scalars.items():
            if 0 < len(name) <= MAX_NAME_CHARS:
                series = self._stepped.setdefault((TENSORBOARD, name), _Series())
                for step, value in zip(steps, values, strict=True):
                    series.take(float(step), float(value))

    def metrics(self, most_points: int, every: int) -> Metrics:
        stepped, unstepped = self._counting(self._stepped), self._counting(self._unstepped)
        found = stepped or unstepped
        names = sorted(found, key=interest)
        notes = []
        if not stepped and unstepped:
            notes.append("No report has a step: its line is used instead.")
        elif unstepped.keys() - stepped.keys():
            notes.append("Reports without a step are left out.")
        if self._bad_lines:
            notes.append(f"Lines of metrics.jsonl that are not reports: {self._bad_lines}.")
        if every > 1:
            notes.append(f"One line in {every} of metrics.jsonl was read.")
        if len(names) > MAX_CURVES:
            notes.append(f"{len(names)} metrics; curves are kept of {MAX_CURVES}, losses first.")
        curves = {}
        for name in names[:MAX_CURVES]:
            series = found[name]
            if series.not_finite:
                values = "value is" if series.not_finite == 1 else "values are"
                notes.append(
                    f"{name}: {series.not_finite} {values} not finite, "
                    f"the first at step {series.first_not_finite:g}."
                )
            if series.replaced:
                notes.append(f"{name}: {series.replaced} points were replaced by later ones.")
            if series.x:
                x, y = thinned(series.x, series.y, most_points)
                curves[name] = Curve(array("d", x), array("d", y), len(series.x))
        return Metrics(curves, _axes(stepped, self._at_steps_of(names)), tuple(notes))

    def _counting(self, found: _BySource) -> dict[str, _Series]:
        """The series of each metric, by name, from the source that counts for it."""
        counting: dict[str, _Series] = {}
        source_of: dict[str, str] = {}
        for source, name in self._in_order(found):
            # one source may have two names that differ only by case
            if source_of.setdefault(name.casefold(), source) == source:
                counting[name] = found[source, name]
        return counting

    def _in_order(self, found: _BySource) -> list[tuple[str, str]]:
        """Sources and names by precedence: of two files of one kind, the one that came last."""
        last_first = [*found][::-1]
        return sorted(
            last_first, key=lambda one: (self._sources.get(one[1]) != one[0], rank(one[0]))
        )

    def _at_steps_of(self, names: Sequence[str]) -> _Series:
        """When the steps of the first metric were read, by the source that was read most often.

        Another source is used only if it ends at the same step: it may count reports, not steps.
        """
        own = [source for source, name in self._in_order(self._stepped) if name in names[:1]]
        ends = [self._at[source].x[-1] for source in own[:1] if source in self._at]
        alike = (at for at in self._at.values() if at.x[-1] in ends)
        return max(alike, key=lambda at: len(set(at.y)), default=_Series())


def _axes(found: Mapping[str, _Series], at: _Series) -> Axes:
    """The axes of the metrics in `found`: only metrics that never decrease.

    If none of them is the time, it is when the steps were read on the pod.
    """
    axes: Axes = {}
    for axis, names in _AXES.items():
        own = next((found[name] for name in names if name in found), None)
        x, y = (own.x, own.y) if own is not None else _looks(at) if axis == "time" else ((), ())
        if len(y) < 2 or y[0] == y[-1] or any(after < before for before, after in pairwise(y)):
            continue
        begin = y[0] if y[0] > _A_DATE else 0.0
        axes[axis] = thinned(x, [value - begin for value in y], _MAX_AXIS_POINTS)
    return axes


def _looks(at: _Series) -> tuple[Sequence[float], Sequence[float]]:
    """The first step, and the last step of each group that was read together."""
    last = len(at.y) - 1
    kept = [i for i in range(last + 1) if i in (0, last) or at.y[i + 1] != at.y[i]]
    return [at.x[i] for i in kept], [at.y[i] for i in kept]


def _report(line: bytes) -> dict[str, object] | None:
    """The object in a line; None for anything else, including duplicate keys."""
    if len(line) > MAX_LINE_BYTES or not line.lstrip().startswith(b"{"):
        return None
    try:
        # not `wire.files`: a diverged run writes NaN
        pairs = _DECODER.decode(line.decode("utf-8"))
        report: dict[str, object] = dict(pairs)
    except (ValueError, TypeError, RecursionError):
        return None
    return report if len(report) == len(pairs) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
