"""Data of a running flow that is not in its evidence yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_wf.config.expect import finite
from pytest_wf.report.curves import MAX_CURVES, MAX_NAME_CHARS, Axes
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.safe_text import readable

#: The most points of a curve; beyond them every second one is dropped.
MAX_POINTS = 400
_ELAPSED = "time"


@dataclass
class SeenCurve:
    """A metric of a row over time: one point per status with a new step."""

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)

    def take(self, x: float, y: float) -> None:
        """Add a point. A step that is repeated, or lower than the last, is a later attempt's."""
        while self.x and self.x[-1] >= x:
            self.x.pop()
            self.y.pop()
        self.x.append(x)
        self.y.append(y)
        if len(self.x) > MAX_POINTS:
            del self.x[1:-1:2], self.y[1:-1:2]


class SeenCurves:
    """The curves of running rows, from their statuses."""

    def __init__(self) -> None:
        self._of_rows: dict[str, dict[str, SeenCurve]] = {}
        self._elapsed: dict[str, SeenCurve] = {}

    def take(self, rows: Iterable[RowStatus]) -> None:
        """Add the present values of `rows`."""
        for row in rows:
            step = finite((row.progress or {}).get("step"))
            if step is None or row.progress is None:
                continue
            curves = self._of_rows.setdefault(row.run_id, {})
            for name, value in row.progress.items():
                y = finite(value)
                if y is None or name == "step" or not 0 < len(name) <= MAX_NAME_CHARS:
                    continue
                if name in curves or len(curves) < MAX_CURVES:
                    curves.setdefault(name, SeenCurve()).take(step, y)
            if row.live is not None and row.live.ran_s is not None:
                self._elapsed.setdefault(row.run_id, SeenCurve()).take(step, row.live.ran_s)

    def curves(self, run_id: str) -> dict[str, tuple[list[float], list[float], int]]:
        """The curves of a row, in the form of a page's row."""
        found = self._of_rows.get(run_id, {})
        return {readable(name): (list(c.x), list(c.y), len(c.x)) for name, c in found.items()}

    def axes(self, run_id: str) -> Axes:
        """The positions of a row's steps on the time axis."""
        seen = self._elapsed.get(run_id)
        return {} if seen is None else {_ELAPSED: (list(seen.x), list(seen.y))}


@dataclass(frozen=True)
class Running:
    """A running flow: the latest status of its rows, and their curves so far."""

    rows: Sequence[RowStatus]
    curves: SeenCurves
    #: The interval of drawings of its page, in seconds.
    every_s: float
