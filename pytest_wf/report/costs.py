"""What flows and their rows cost, as far as evidence says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_wf.config.expect import finite
from pytest_wf.evidence.times import parse_rfc3339
from pytest_wf.report.folder import Folder
from pytest_wf.report.model import PageRow
from pytest_wf.wire.states import UNKNOWN

#: Where a flow's cost is from.
STATED, CALCULATED = "provider", "price x time"


@dataclass(frozen=True)
class FlowCost:
    """What the pod of one flow cost until the flow ended."""

    flow_id: str
    #: The pod, and its provider or transport; empty where the flow bound none.
    pod: str
    provider: str
    usd_per_hour: float | None
    #: From the pod's rent to the flow's end or the pod's deletion, in hours.
    hours: float | None
    cost_usd: float | None
    #: `STATED`, `CALCULATED` or `UNKNOWN`.
    source: str
    #: Whether the pod went on after the flow: it has cost more since.
    is_kept: bool
    #: Rows that were not begun, as the flow's ceiling on costs (WF_MAX_USD) was reached.
    rows_left: int = 0

    def as_json(self) -> dict[str, Any]:
        """The cost as `wf costs --json` gives it."""
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
    """The pod's price in US dollars an hour; None where no record says it."""
    stated = folder.summary.usd_per_hour if folder.summary is not None else None
    rented = folder.fact("P10", "usd_per_hour")
    return finite(stated) if stated is not None else finite(rented)


def row_cost(price: float | None, row: PageRow) -> float | None:
    """The share that a row took of the pod's price an hour; None where that is not known.

    A row that was adopted was paid for by the flow that trained it.
    """
    if price is None or row.duration_s is None or row.adopted_from:
        return None
    return round(price * row.duration_s / 3600 * row.gpu_share, 6)


def total(costs: Sequence[FlowCost]) -> tuple[float, int]:
    """What is known of the costs, and how many are not known."""
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
        return None  # a provider wrote it, and it may be no time
    return round(max(0.0, spent.total_seconds()) / 3600, 4)
