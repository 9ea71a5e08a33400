"""Costs of flows and their rows, according to evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_wf.config.expect import finite
from pytest_wf.evidence.times import parse_rfc3339
from pytest_wf.report.folder import Folder
from pytest_wf.report.model import PageRow
from pytest_wf.wire.states import UNKNOWN

#: The source of a flow's cost.
STATED, CALCULATED = "provider", "price x time"


@dataclass(frozen=True)
class FlowCost:
    """The cost of one flow's pod until the flow ended."""

    flow_id: str
    #: The pod, and its provider or transport; empty if the flow bound none.
    pod: str
    provider: str
    usd_per_hour: float | None
    #: From the pod's rental to the flow's end or the pod's deletion, in hours.
    hours: float | None
    cost_usd: float | None
    #: `STATED`, `CALCULATED` or `UNKNOWN`.
    source: str
    #: Whether the pod outlived the flow: it has cost more since.
    is_kept: bool
    #: Rows that were not begun because the flow's ceiling on costs (WF_MAX_USD) was reached.
    rows_left: int = 0

    def as_json(self) -> dict[str, Any]:
        """The cost for `wf costs --json`."""
        return dict(vars(self))


def cost_of(folder: Folder) -> FlowCost:
    """The cost of the pod of the flow in `folder`."""
    summary = folder.summary
    price = price_of(folder)
    cost = None if summary is None else finite(summary.cost_usd)
    released = folder.fact("P90", "released")
    stated = finite(released.get("cost_usd")) if isinstance(released, dict) else None
    source = STATED if stated is not None else CALCULATED if cost is not None else UNKNOWN
    cost = stated if stated is not None else cost
    deleted = folder.fact("P90", "deleted") is True
    left = folder.fact("P70", "left")
    return FlowCost(
        flow_id=folder.flow_id,
        pod=str(folder.fact("P20", "name") or folder.fact("P10", "name") or ""),
        provider=str(folder.last("transport") or ""),
        usd_per_hour=price,
        hours=_hours(folder, price, cost),
        cost_usd=cost,
        source=source,
        is_kept=price is not None and not deleted,
        rows_left=len(left) if isinstance(left, list) else 0,
    )


def price_of(folder: Folder) -> float | None:
    """The pod's price in US dollars per hour; None if no record has it."""
    stated = folder.summary.usd_per_hour if folder.summary is not None else None
    rented = folder.fact("P10", "usd_per_hour")
    return finite(stated) if stated is not None else finite(rented)


def row_cost(price: float | None, row: PageRow) -> float | None:
    """A row's share of the pod's price per hour; None if unknown.

    An adopted row was paid for by the flow that trained it.
    """
    if price is None or row.duration_s is None or row.adopted_from:
        return None
    return round(price * row.duration_s / 3600 * row.gpu_share, 6)


def total(costs: Sequence[FlowCost]) -> tuple[float, int]:
    """The sum of the known costs, and the number of unknown ones."""
    known = [cost.cost_usd for cost in costs if cost.cost_usd is not None]
    return round(sum(known), 6), len(costs) - len(known)


def _hours(folder: Folder, price: float | None, cost: float | None) -> float | None:
    since = folder.fact("P10", "rented_at")
    end = folder.summary.ended_at if folder.summary is not None else None
    if price and cost is not None:
        return round(cost / price, 4)
    if not isinstance(since, str) or end is None:
        return None
    try:
        spent = parse_rfc3339(end) - parse_rfc3339(since)
    except ValueError:
        return None  # a provider wrote it, and it may not be a time
    return round(max(0.0, spent.total_seconds()) / 3600, 4)
