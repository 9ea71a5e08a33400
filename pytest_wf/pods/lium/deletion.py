"""The end of one pod: asked for by id, tried again, and proved by the listing."""

from __future__ import annotations

import time
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod
from pytest_wf.pods.lium.api import Account, Busy, NotThere, Refused, Unanswered
from pytest_wf.pods.lium.pace import NEVER_RAN, Pace, look
from pytest_wf.pods.lium.removal_schedule import arm, later
from pytest_wf.pods.lium.rentals import Journal, Rental, age_s, now

__all__ = ["end_pod", "end_unknown_pod"]


def end_pod(account: Account, journal: Journal, rental: Rental, pace: Pace) -> dict[str, Any]:
    """End the pod of a rental. Facts for the evidence; see `end_unknown_pod`."""
    rental = journal.update(rental, state="deleting")
    pod = Pod(
        id=rental.pod_id,
        name=rental.name,
        status="",
        usd_per_hour=rental.usd_per_hour,
        rented_at=rental.rented_at,
    )
    facts = end_unknown_pod(account, pod, pace)
    journal.update(rental, state="deleted")
    return facts


def end_unknown_pod(account: Account, pod: Pod, pace: Pace) -> dict[str, Any]:
    """End the pod `pod.id` and look until the listing no longer has it.

    Where that cannot be proved in time its removal is scheduled, and OperationFailed('delete')
    says what is still billing.
    """
    ending = _Ending(account, pod, pace)
    if ending.run():
        return ending.facts()
    try:
        removal_at = arm(account, pod.id, later(now(), pace.removal_in_s), pace)
    except OperationFailed:
        removal_at = ""  # it is told below that nothing could be scheduled
    price = "" if pod.usd_per_hour is None else f" at ${pod.usd_per_hour:g}/h"
    plan = (
        f"Its removal is scheduled for {removal_at}."
        if removal_at
        else "No removal could be scheduled."
    )
    raise OperationFailed(
        "delete",
        f"pod {pod.name} ({pod.id}) is not proved to be gone and may still be billing{price}: "
        f"{ending.why}. {plan}",
        f"Look at `wf pod-list`, then run `wf pod-delete {pod.id}`.",
        {"pod_id": pod.id, "still_billing_usd_per_hour": pod.usd_per_hour, **ending.facts()}
        | {"removal_at": removal_at, "confirmed_absent": False},
    )


class _Ending:
    """One attempt after the other until the pod is gone or the time is up."""

    def __init__(self, account: Account, pod: Pod, pace: Pace) -> None:
        self._account = account
        self._pod = pod
        self._pace = pace
        self._attempts = 0
        self._accepted = False
        self._absent = 0
        self.why = "the API gave no answer"

    def run(self) -> bool:
        """Whether the pod is gone: a deletion accepted (or nothing there) and two listings
        without it, or three where no deletion was ever answered."""
        end = time.monotonic() + self._pace.delete_s
        while True:
            if not self._accepted:
                self._ask()
            pods = self._look()
            if pods is not None:
                gone = not any(p.id == self._pod.id and p.status not in NEVER_RAN for p in pods)
                self._absent = self._absent + 1 if gone else 0
                if not gone and self._accepted:
                    self.why = "it is still listed"
            if self._absent >= (2 if self._accepted else 3):
                return True
            if time.monotonic() + self._pace.poll_s > end:
                return False
            time.sleep(self._pace.poll_s)

    def facts(self) -> dict[str, Any]:
        """What was tried and found, and what the pod has cost."""
        spent_s = age_s(self._pod.rented_at) if self._pod.rented_at else None
        price = self._pod.usd_per_hour
        cost = None if spent_s is None or price is None else round(spent_s / 3600 * price, 6)
        billed = None
        try:
            billed = self._account.billed_usd(self._pod.id)
        except OperationFailed:
            pass  # the statement lags and needs a scope of its own; the estimate stands
        return {
            "pod_id": self._pod.id,
            "confirmed_absent": True,
            "delete_requests": self._attempts,
            "listings_without_it": self._absent,
            "usd_per_hour": price,
            "cost_usd": cost if not billed else round(billed, 6),
            "cost_from": "statement" if billed else "price and time",
        }

    def _look(self) -> list[Pod] | None:
        try:
            return look(self._account, self._pace)
        except Refused as e:  # a key that may not even look: nothing is proved
            self.why = e.message
            return None

    def _ask(self) -> None:
        self._attempts += 1
        try:
            self._account.delete(self._pod)
            self._accepted = True
        except NotThere:
            self._accepted = True
        except Busy as e:
            self.why = e.message
            time.sleep(e.retry_after_s)
        except (Refused, Unanswered) as e:
            self.why = e.message.rstrip(".")
