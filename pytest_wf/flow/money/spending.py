"""A flow's spending: the prices of its pods, its ceiling, and the estimated cost of its rows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_wf.errors import OperationFailed, WfError
from pytest_wf.flow.money.budget import EARLIER, FIRST, Budget, Estimate, PricedPod, estimate

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState


def priced_pod(flow: FlowState) -> PricedPod | None:
    """The pod of a flow, or of one member, and since when the flow pays for it; no contact.

    None if its price is unknown. A pod that an earlier flow rented is paid for since the beginning
    of this flow.
    """
    record, left = flow.phases.get("P10"), flow.binding.left
    facts = record.facts if record else {}
    price, since = facts.get("usd_per_hour"), facts.get("rented_at")
    if left is not None:
        price, since = left.usd_per_hour, left.rented_at
    if isinstance(price, float) and isinstance(since, str) and since:
        rented_at = datetime.fromisoformat(since.replace("Z", "+00:00"))
        begin = rented_at if flow.binding.is_new else max(rented_at, flow.started_at)
        return PricedPod(price, begin)
    ready = flow.phases.get("P30")
    reached = ready.facts.get("connection") if ready else None
    listed = reached.get("usd_per_hour") if isinstance(reached, dict) else None
    try:
        return PricedPod(float(listed), flow.started_at) if listed else None
    except ValueError:
        return None


def priced_pods(flow: FlowState) -> list[PricedPod]:
    """All pods that the flow pays for; none if the price of any is unknown."""
    parts = [one for one in flow.members.values() if one.binding.target is not None] or [flow]
    found = [priced_pod(part) for part in parts]
    return [pod for pod in found if pod is not None] if None not in found else []


class Estimates:
    """Prints once what the sweep of a flow with priced pods will cost, when that is known."""

    def __init__(self, flow: FlowState) -> None:
        self._flow = flow
        self._is_awaited = False

    def at_launch(self) -> dict[str, Any]:
        """The estimate from earlier rows, as a fact of P60; contacts the pod.

        A member has none of its own: the last one whose P60 ends records that of the flow.
        """
        if self._flow.member or not priced_pods(self._flow):
            return {}
        try:
            opened = self._flow.sweep
            self._is_awaited = False  # the status has earlier rows
            opened.status(fresh=True)
            found = estimate_of(self._flow)
        except WfError as e:  # the sweep is launched anyway
            self._is_awaited = True
            return {"estimate": {"line": f"estimate: not known yet: {e.message}"}}
        self._is_awaited = found is None
        line = "estimate: when the first row has ended" if found is None else str(found)
        self._flow.say(line)
        return {"estimate": {"line": line} if found is None else found.as_json()}

    def await_first_row(self) -> None:
        """Estimate from the first row that ended, unless P60 gives an estimate."""
        self._is_awaited = bool(priced_pods(self._flow))

    def row_seen(self) -> None:
        """Estimate from the first row that ended, if earlier rows gave none; a fact of P70."""
        found = estimate_of(self._flow, FIRST) if self._is_awaited else None
        if found is not None:
            self._is_awaited = False
            self._flow.watched.estimate = found.as_json()
            self._flow.say(str(found))


def budget_of(flow: FlowState) -> Budget | None:
    """The ceiling on the costs of all pods of a flow; None if it has none.

    Raises OperationFailed('budget') if a ceiling is set and the price of a pod is unknown.
    """
    limit = flow.config.wf_max_usd
    if limit is None:
        return None
    pods = priced_pods(flow)
    if not pods:
        raise OperationFailed(
            "budget",
            f"WF_MAX_USD={limit:g} is set, and what this pod costs is not known: no provider "
            "states a price for it.",
            "Leave WF_MAX_USD empty, or use a rented pod.",
        )
    return Budget(limit, pods)


def estimate_of(flow: FlowState, source: str = EARLIER) -> Estimate | None:
    """The estimate for selected rows that have not ended, by their latest status; no contact.

    None if no time of a row is known yet.
    """
    pods, budget = priced_pods(flow), budget_of(flow)
    return estimate(
        flow.watched.selected,
        gpus=sum(_gpus(part) for part in flow.members.values() or [flow]),
        pods=max(1, len(pods)),
        usd_per_hour=sum(pod.usd_per_hour for pod in pods) if pods else None,
        left_usd=None if budget is None else budget.left(),
        source=source,
    )


def _gpus(flow: FlowState) -> int:
    """The GPUs that P30 found on a pod; 0 if unknown."""
    record = flow.phases.get("P30")
    probe = record.facts.get("probe") if record else None
    gpus = probe.get("gpus") if isinstance(probe, dict) else None
    return len(gpus) if isinstance(gpus, list) else 0
