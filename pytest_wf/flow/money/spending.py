"""A flow's spending: the price of its pod, its ceiling, and the estimated cost of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_wf.errors import OperationFailed, WfError
from pytest_wf.flow.money.budget import EARLIER, FIRST, Budget, Estimate, PricedPod, estimate

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState


def priced_pod(flow: FlowState) -> PricedPod | None:
    """The flow's pod and since when the flow pays for it; None if its price is unknown.

    A pod that an earlier flow rented is paid for since the beginning of this flow.
    """
    record = flow.phases.get("P10")
    facts = record.facts if record else {}
    price, since = facts.get("usd_per_hour"), facts.get("rented_at")
    if isinstance(price, float) and isinstance(since, str) and since:
        rented_at = datetime.fromisoformat(since.replace("Z", "+00:00"))
        begin = rented_at if flow.binding.is_new else max(rented_at, flow.started_at)
        return PricedPod(price, begin)
    if flow.session is None or not flow.session.is_open:
        return None
    listed = flow.session.connection_facts().get("usd_per_hour")
    try:
        return PricedPod(float(listed), flow.started_at) if listed else None
    except ValueError:
        return None


class Estimates:
    """Prints once what the sweep of a flow with a priced pod will cost, when that is known."""

    def __init__(self, flow: FlowState) -> None:
        self._flow = flow
        self._is_awaited = False

    def at_launch(self) -> dict[str, Any]:
        """The estimate from earlier rows, as a fact of P60; contacts the pod."""
        if self._flow.member or priced_pod(self._flow) is None:
            return {}
        self._is_awaited = True
        try:
            self._flow.sweep.status(fresh=True)
            found = estimate_of(self._flow)
        except WfError as e:  # the sweep is launched anyway
            return {"estimate": {"line": f"estimate: not known yet: {e.message}"}}
        self._is_awaited = found is None
        line = "estimate: when the first row has ended" if found is None else str(found)
        self._flow.say(line)
        return {"estimate": {"line": line} if found is None else found.as_json()}

    def row_seen(self) -> None:
        """Estimate from the first row that ended, if earlier rows gave none; a fact of P70."""
        found = estimate_of(self._flow, FIRST) if self._is_awaited else None
        if found is not None:
            self._is_awaited = False
            self._flow.watched.estimate = found.as_json()
            self._flow.say(str(found))


def budget_of(flow: FlowState, others: Sequence[PricedPod] = ()) -> Budget | None:
    """The flow's ceiling on costs; None if it has none. `others` are its other pods.

    Raises OperationFailed('budget') if a ceiling is set and the pod's price is unknown.
    """
    limit = flow.config.wf_max_usd
    if limit is None:
        return None
    if flow.member:
        raise OperationFailed(
            "budget",
            f"WF_MAX_USD={limit:g} is a ceiling for a flow on one pod, and this one has several.",
            "Leave WF_MAX_USD empty; LIUM_TTL limits what each rented pod costs.",
        )
    pod = priced_pod(flow)
    if pod is None:
        raise OperationFailed(
            "budget",
            f"WF_MAX_USD={limit:g} is set, and what this pod costs is not known: no provider "
            "states a price for it.",
            "Leave WF_MAX_USD empty, or use a rented pod.",
        )
    return Budget(limit, (pod, *others))


def estimate_of(flow: FlowState, source: str = EARLIER) -> Estimate | None:
    """The estimate for selected rows that have not ended, by their latest status; no contact.

    None if no time of a row is known yet.
    """
    pod = priced_pod(flow)
    probe = flow.phases["P30"].facts.get("probe") if "P30" in flow.phases else None
    gpus = probe.get("gpus") if isinstance(probe, dict) else None
    budget = budget_of(flow)
    return estimate(
        flow.watched.selected,
        gpus=len(gpus) if isinstance(gpus, list) else 0,
        usd_per_hour=None if pod is None else pod.usd_per_hour,
        left_usd=None if budget is None else budget.left(),
        source=source,
    )
