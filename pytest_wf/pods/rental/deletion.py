"""Deletion of one pod: requested by id, repeated, and proved by the listing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import (
    NEVER_CREATED,
    Account,
    Busy,
    NoResponse,
    NotFound,
    Refused,
)
from pytest_wf.pods.rental.journal import Journal, Rental, age_s, now
from pytest_wf.pods.rental.removal_schedule import later, schedule_removal
from pytest_wf.pods.rental.timing import Timing, list_pods


def delete_rental(
    account: Account, journal: Journal, rental: Rental, timing: Timing
) -> dict[str, Any]:
    """Delete the pod of a rental. Facts for the evidence; see `delete_pod`."""
    rental = journal.update(rental, state="deleting")
    pod = Pod(
        id=rental.pod_id,
        name=rental.name,
        status="",
        usd_per_hour=rental.usd_per_hour,
        rented_at=rental.rented_at,
    )
    facts = delete_pod(account, pod, timing)
    journal.update(rental, state="deleted")
    return facts


def delete_pod(account: Account, pod: Pod, timing: Timing) -> dict[str, Any]:
    """Delete the pod `pod.id` and wait until the listing no longer has it.

    If that cannot be proved in time, its removal is scheduled, and OperationFailed('delete') says
    what is still billing.
    """
    deletion = _Deletion(account, pod, timing)
    if deletion.run():
        return deletion.facts()
    try:
        when = later(now(), timing.removal_in_s)
        removal_at = schedule_removal(account, pod, when, timing) or ""
    except OperationFailed:
        removal_at = ""  # the error below says that nothing could be scheduled
    price = "" if pod.usd_per_hour is None else f" at ${pod.usd_per_hour:g}/h"
    plan = (
        f"Its removal is scheduled for {removal_at}."
        if removal_at
        else "No removal could be scheduled."
    )
    raise OperationFailed(
        "delete",
        f"pod {pod.name} ({pod.id}) is not proved to be gone and may still be billing{price}: "
        f"{deletion.why}. {plan}",
        f"Look at `wf pod-list`, then run `wf pod-delete {pod.id}`.",
        {"pod_id": pod.id, "still_billing_usd_per_hour": pod.usd_per_hour, **deletion.facts()}
        | {"removal_at": removal_at, "confirmed_absent": False},
    )


class _Deletion:
    """Repeats the request until the pod is gone or the time is up."""

    def __init__(self, account: Account, pod: Pod, timing: Timing) -> None:
        self._account = account
        self._pod = pod
        self._timing = timing
        self._attempts = 0
        self._accepted = False
        self._absent = 0
        self.why = "the API gave no answer"

    def run(self) -> bool:
        """Whether the pod is gone: a deletion accepted (or nothing there) and two listings
        without it, or three if no deletion was ever answered."""
        end: float | None = None
        while True:
            if not self._accepted:
                self._request()
            # from the first request on: it may have had to wait for those of other pods
            end = end or time.monotonic() + self._timing.delete_s
            pods = self._list()
            if pods is not None:
                gone = not any(p.id == self._pod.id and p.status not in NEVER_CREATED for p in pods)
                self._absent = self._absent + 1 if gone else 0
                if not gone and self._accepted:
                    self.why = "it is still listed"
            if self._absent >= (2 if self._accepted else 3):
                return True
            if time.monotonic() + self._timing.poll_s > end:
                return False
            time.sleep(self._timing.poll_s)

    def facts(self) -> dict[str, Any]:
        """What was requested and seen, and what the pod has cost."""
        spent_s = age_s(self._pod.rented_at) if self._pod.rented_at else None
        price = self._pod.usd_per_hour
        cost = None if spent_s is None or price is None else round(spent_s / 3600 * price, 6)
        billed = None
        try:
            billed = self._account.billed_usd(self._pod.id)
        except OperationFailed:
            pass  # the statement lags and needs a scope of its own; the estimate is kept
        return {
            "pod_id": self._pod.id,
            "confirmed_absent": True,
            "delete_requests": self._attempts,
            "listings_without_it": self._absent,
            "usd_per_hour": price,
            "cost_usd": cost if not billed else round(billed, 6),
            "cost_from": "statement" if billed else "price and time",
        }

    def _list(self) -> Sequence[Pod] | None:
        try:
            return list_pods(self._account, self._timing)
        except Refused as e:  # a key that may not list pods: nothing is proved
            self.why = e.message
            return None

    def _request(self) -> None:
        self._attempts += 1
        try:
            self._account.delete(self._pod)
            self._accepted = True
        except NotFound:
            self._accepted = True
        except Busy as e:
            self.why = e.message
            time.sleep(e.retry_after_s)
        except (Refused, NoResponse) as e:
            self.why = e.message.rstrip(".")
