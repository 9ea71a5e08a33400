"""Pods of earlier rents: found after a rent without an answer, reused, or returned to a flow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pytest_wf.config.keys import prefix_of
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import FINAL_STATUSES, Account
from pytest_wf.pods.rental.journal import Journal, Rental, age_s, now, this_process
from pytest_wf.pods.rental.timing import Timing, list_pods


def find_unanswered(
    account: Account, journal: Journal, rental: Rental, timing: Timing, patience_s: float
) -> Pod | None:
    """The pod that a rent without an answer made; None if none is listed in time.

    Raises OperationFailed if several could be it.
    """
    end = time.monotonic() + patience_s
    while True:
        pods = list_pods(account, timing)
        found = _candidates(rental, pods or ())
        if len(found) > 1:
            ids = ", ".join(sorted(pod.id for pod in found))
            raise OperationFailed(
                "provider",
                f"several new pods are named {rental.name}: {ids}.",
                f"Set {prefix_of(journal.provider)}TARGET to the id of the right one, and delete "
                "the others.",
            )
        if found:
            return found[0]
        if time.monotonic() + timing.poll_s > end:
            return None
        time.sleep(timing.poll_s)


def take_idle_pods(
    account: Account,
    journal: Journal,
    flow_id: str,
    timing: Timing,
    say: Callable[[str], None],
    count: int = 1,
) -> list[tuple[Rental, Pod]]:
    """Up to `count` pods that earlier flows of this project rented and no process uses.

    Raises OperationFailed if there are more.
    """
    is_any = any(r.is_open for r in journal.rentals())
    for finding in journal.findings:
        say(finding)
    if not is_any:
        return []
    identity = account.identity()
    found: list[tuple[Rental, Pod]] = []
    with journal.locked():
        for rental in [r for r in journal.rentals() if r.is_open and not r.is_held]:
            if rental.account != identity:
                # it is in another account's listing: absent here does not mean gone
                say(f"{rental.name} was rented with another account; left alone")
                continue
            pod = _still_there(account, journal, rental, timing, say)
            if pod is not None:
                found.append((rental, pod))
        if len(found) > count:
            names = ", ".join(f"{pod.name} ({pod.id})" for _, pod in found)
            wanted = "the one" if count == 1 else f"the {count}"
            delete = ", ".join(f"`wf pod-delete {pod.id}`" for _, pod in found)
            raise OperationFailed(
                "provider",
                f"this project has {len(found)} pods that no process uses: {names}.",
                f"Set {prefix_of(journal.provider)}TARGET to the id of {wanted} to use, and delete "
                f"the others, of {delete}.",
            )
        return [(_taken(journal, rental, pod, flow_id), pod) for rental, pod in found]


def _taken(journal: Journal, rental: Rental, pod: Pod, flow_id: str) -> Rental:
    return journal.update(
        rental,
        state="rented",
        pod_id=pod.id,
        rented_at=rental.rented_at or pod.rented_at or now(),
        owner=this_process(flow_id),
    )


def _still_there(
    account: Account, journal: Journal, rental: Rental, timing: Timing, say: Callable[[str], None]
) -> Pod | None:
    young_s = timing.settle_s - (age_s(rental.rented_at or rental.asked_at) or 0.0)
    if rental.pod_id:
        end, absent = time.monotonic() + young_s, 0
        while True:
            pod = next((p for p in account.pods() if p.id == rental.pod_id), None)
            absent += pod is None
            if pod is not None or (absent > 1 and time.monotonic() + timing.poll_s > end):
                break
            time.sleep(timing.poll_s)
    else:
        account.pods()  # unknown does not mean gone: if the API is down, this ends here
        pod = find_unanswered(account, journal, rental, timing, young_s)
    if pod is None or pod.status in FINAL_STATUSES:
        say(f"{rental.name}, rented by {rental.flow_id}, is gone")
        journal.update(rental, state="deleted" if rental.pod_id else "void")
        return None
    return pod


def rentals_of(journal: Journal, flow_id: str) -> list[Rental]:
    """The open rentals that a flow requested or took over, the oldest first."""
    return [r for r in journal.rentals() if r.is_open and flow_id in (r.flow_id, r.used_by)]


def find_unbound(
    account: Account, journal: Journal, rental: Rental, timing: Timing, say: Callable[[str], None]
) -> tuple[Rental, Pod] | None:
    """The pod of a rental of a flow that was stopped before it was bound.

    None if there is none. Raises OperationFailed if that cannot be determined in time.
    """
    say(f"looking for {rental.name}, which this flow requested")
    began, absent = time.monotonic(), 0
    while True:
        pods = list_pods(account, timing)
        if pods is not None:
            pod = _of(rental, pods)
            absent += pod is None
            if pod is not None and pod.status not in FINAL_STATUSES:
                state = "rented" if rental.state == "asked" else rental.state
                rented_at = rental.rented_at or pod.rented_at or now()
                return journal.update(rental, state=state, pod_id=pod.id, rented_at=rented_at), pod
            # as after a deletion, one listing without it proves nothing
            is_gone = bool(rental.pod_id) and absent > 1 and not _is_young(rental, timing)
            if pod is not None or is_gone:
                journal.update(rental, state="deleted")
                return None
        if pods is None:
            timed_out = time.monotonic() > began + timing.delete_s
        else:
            timed_out = not rental.pod_id and not _is_young(rental, timing)
        if timed_out:
            break
        time.sleep(timing.poll_s)
    raise OperationFailed(
        "provider",
        f"whether the pod {rental.name} exists, at ${rental.usd_per_hour:g}/h, is unknown: "
        + (
            "the provider's API gives no answer."
            if pods is None
            else "it was requested, and no answer came; it is not listed."
        ),
        "Look at `wf pod-list`. The next flow of this project uses it if it is there.",
        {"name": rental.name, "node": rental.node_id, "idempotency_key": rental.key},
    )


def unlisted(rentals: list[Rental], pods: Sequence[Pod], timing: Timing) -> list[Pod]:
    """Pods that may exist although no listing has them yet: they were requested just now."""
    found = []
    for rental in rentals:
        if not rental.is_open or rental.state == "deleting" or not _is_young(rental, timing):
            continue
        if _of(rental, pods) is None:
            by = f"requested by {rental.flow_id} of this project"
            found.append(
                Pod(
                    id=rental.pod_id,
                    name=rental.name,
                    status="UNKNOWN",
                    usd_per_hour=rental.usd_per_hour,
                    rented_at=rental.rented_at or rental.asked_at,
                    node_id=rental.node_id,
                    standing="unlisted",
                    reason=f"{by}, and not listed yet; whether it exists is unknown",
                )
            )
    return found


def _candidates(rental: Rental, pods: Sequence[Pod]) -> list[Pod]:
    """The pods that a rent without an answer may have made."""
    return [
        pod
        for pod in pods
        if pod.name == rental.name
        and pod.id not in rental.known
        and pod.node_id in ("", rental.node_id)
    ]


def _of(rental: Rental, pods: Sequence[Pod]) -> Pod | None:
    """The pod of a rental among those that are listed."""
    if rental.pod_id:
        return next((p for p in pods if p.id == rental.pod_id), None)
    found = _candidates(rental, pods)
    return found[0] if len(found) == 1 else None


def _is_young(rental: Rental, timing: Timing) -> bool:
    """Whether its pod may exist although the listing lacks it."""
    return (age_s(rental.rented_at or rental.asked_at) or 0.0) < timing.settle_s
