"""A flow's budget (WF_MAX_USD), its spending so far, and estimates of its rows' cost.

Pure: takes prices, times and rows, returns numbers and sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pytest_wf.console.progress import span
from pytest_wf.errors import OperationFailed
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.states import PENDING, ROW_ENDED, RUNNING

#: The source of a row's time.
EARLIER, FIRST = "earlier rows", "the first row that ended"


@dataclass(frozen=True)
class PricedPod:
    """A pod that a flow pays for, and since when."""

    usd_per_hour: float
    since: datetime

    def spent(self, now: datetime) -> float:
        """Its cost to the flow so far."""
        return self.usd_per_hour * max(0.0, (now - self.since).total_seconds()) / 3600


@dataclass(frozen=True)
class Budget:
    """A flow's ceiling on costs, and all pods that it pays for."""

    max_usd: float
    pods: Sequence[PricedPod]

    @property
    def name(self) -> str:
        """The ceiling in words."""
        return f"WF_MAX_USD={self.max_usd:g}"

    @property
    def usd_per_hour(self) -> float:
        """The price of all pods per hour."""
        return sum(pod.usd_per_hour for pod in self.pods)

    def spent(self, now: datetime | None = None) -> float:
        """The cost of all pods so far."""
        at = now or datetime.now(timezone.utc)
        return sum(pod.spent(at) for pod in self.pods)

    def left(self, now: datetime | None = None) -> float:
        """The rest of the budget; not below 0."""
        return max(0.0, self.max_usd - self.spent(now))

    def ceiling(self, now: datetime | None = None) -> dict[str, Any]:
        """The ceiling for a launch: its name, and the number of seconds that the rest pays for.

        Raises OperationFailed('budget') if nothing is left.
        """
        left = self.left(now)
        if not left:
            raise OperationFailed(
                "budget",
                f"{self.name} is spent: ${self.spent(now):.2f} at ${self.usd_per_hour:g}/h. No row "
                "was begun.",
                "Raise WF_MAX_USD, then run the same flow again.",
            )
        return {"name": self.name, "seconds": round(left / self.usd_per_hour * 3600, 1)}


@dataclass(frozen=True)
class Estimate:
    """The probable time and cost of the rest of a sweep."""

    #: Rows that have not ended, and the mean time of an ended row, in seconds.
    rows: int
    row_s: float
    #: `EARLIER` or `FIRST`.
    source: str
    seconds: float
    usd: float | None
    #: The rest of the budget; None for no ceiling.
    left_usd: float | None = None

    @property
    def is_too_dear(self) -> bool:
        """Whether the ceiling will probably be reached before the last row begins."""
        return self.usd is not None and self.left_usd is not None and self.usd > self.left_usd

    def as_json(self) -> dict[str, Any]:
        """The estimate as it is in evidence."""
        return {**vars(self), "line": str(self)}

    def __str__(self) -> str:
        cost = "" if self.usd is None else f", ${self.usd:.2f}"
        said = (
            f"estimate: {self.rows} row{'s' * (self.rows != 1)} to end in about "
            f"{span(self.seconds)}{cost} ({span(self.row_s)} a row, by {self.source})"
        )
        if not self.is_too_dear:
            return said
        return f"{said}; ${self.left_usd:.2f} may still be spent: not all rows will begin"


def estimate(
    rows: Sequence[RowStatus],
    *,
    gpus: int = 0,
    pods: int = 1,
    usd_per_hour: float | None = None,
    left_usd: float | None = None,
    source: str = EARLIER,
) -> Estimate | None:
    """The estimate for the rows that have not ended; None if all have, or no time is known.

    A row takes its share of the `gpus` of all pods (0: unknown, so that it takes one of the `pods`)
    for the mean time of the rows that succeeded.
    """
    open_ = [row for row in rows if row.state in (PENDING, RUNNING)]
    ended = [row for row in rows if row.state in ROW_ENDED and row.trained and row.duration_s]
    if not open_ or not ended:
        return None
    row_s = sum(row.duration_s or 0.0 for row in ended) / len(ended)
    share = sum(_share(row, gpus, pods) for row in ended) / len(ended)
    ran_s = [row.live.ran_s or 0.0 for row in open_ if row.live is not None]
    seconds = sum(max(0.0, row_s - ran) for ran in ran_s) + row_s * (len(open_) - len(ran_s))
    seconds *= share
    usd = None if usd_per_hour is None else round(usd_per_hour * seconds / 3600, 6)
    left = None if left_usd is None else round(left_usd, 6)
    return Estimate(len(open_), round(row_s, 3), source, round(seconds, 3), usd, left)


def _share(row: RowStatus, gpus: int, pods: int) -> float:
    return min(1.0, len(row.gpus) / gpus) if row.gpus and gpus else 1.0 / pods
