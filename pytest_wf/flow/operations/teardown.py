"""P90: keeps or deletes the pod."""

from __future__ import annotations

from typing import Any

from pytest_wf.flow.operations import rented_pods
from pytest_wf.flow.operations.unfetched import losses, refuse
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.base import is_renter
from pytest_wf.wire import operations


def keep(
    session: PodSession | None,
    *,
    usd_per_hour: float | None,
    cost_usd: float | None = None,
    is_new: bool = False,
) -> Result:
    """Keep the pod; the facts have its name and, if known, its price and cost.

    With WF_IDLE_DELETE_SECS its removal is scheduled, even for a pod that never answered if
    this flow rented it (`is_new`).
    """
    name = session.target.name if session is not None else None
    facts: dict[str, Any] = {
        "kept": name,
        "usd_per_hour": usd_per_hour,
        "cost_usd": cost_usd,
        "deleted": False,
    }
    if session is not None and session.config.wf_idle_delete_secs and (session.is_open or is_new):
        facts.update(rented_pods.schedule_idle_removal(session, is_untouched=not session.is_open))
    return Result("teardown", facts)


def delete(session: PodSession, *, force: bool = False) -> Result:
    """Remove what was created on the pod, and delete the pod if it was rented.

    Raises OperationFailed('unfetched') while results of any campaign are not on this machine and
    verified, unless WF_DELETE_UNFETCHED=1; results lost by that are a warning in the facts.
    """
    session.hold_lease()
    lost = losses(session)
    if not session.config.wf_delete_unfetched:
        refuse(session.target.name, lost)
    removed = session.request(
        operations.DELETE, {"flow_id": session.flow_id, "force": force}, timeout_s=600
    )
    if session.provider.can_rent:
        session.disconnect()  # the machine is deleted together with its lease
    facts = {**_release(session), "removed": removed, "lost": [loss.as_json() for loss in lost]}
    if lost:
        facts["warnings"] = [f"deleted and nowhere else: {loss}" for loss in lost]
    return Result("pod-delete", facts)


def delete_untouched(session: PodSession) -> Result:
    """Delete a pod that this flow rented and never reached: it has no results."""
    session.disconnect()
    return Result("pod-delete", {**_release(session), "removed": {"removed": [], "kept": []}})


def _release(session: PodSession) -> dict[str, Any]:
    provider, root = session.provider, str(session.project.root)
    released: dict[str, object] = {"deleted": False, "reason": "the machine was not rented"}
    if is_renter(provider):
        released = provider.delete(session.target, session.config, root)
    return {"deleted": True, "released": released, "kept": None}
