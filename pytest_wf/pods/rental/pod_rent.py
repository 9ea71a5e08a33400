"""One pod's rent, step by step, from the request to a running pod: never two pods for one.

Each step is in the journal before it is taken. If an answer leaves open whether there is a pod, the
listing is searched for the pod's name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pytest_wf.config.keys import prefix_of
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import (
    FINAL_STATUSES,
    RUNNING,
    Account,
    Busy,
    NoResponse,
    Offer,
    Refused,
    RentRequest,
    Requirements,
)
from pytest_wf.pods.rental.config_keys import RentalKeys
from pytest_wf.pods.rental.deletion import delete_rental
from pytest_wf.pods.rental.journal import Journal, Rental, now, this_process
from pytest_wf.pods.rental.offers import CENTS
from pytest_wf.pods.rental.recovery import find_unanswered
from pytest_wf.pods.rental.removal_schedule import later, schedule_removal
from pytest_wf.pods.rental.timing import Timing, list_pods

#: How often a rent without an answer is sent again under its key.
MAX_RESENDS = 3


class NoPod(Exception):
    """This node provides no pod, and provably created none."""


@dataclass(frozen=True)
class RentContext:
    """Who rents, with which account, and how long each step may take."""

    account: Account
    journal: Journal
    keys: RentalKeys
    flow_id: str
    say: Callable[[str], None]
    timing: Timing

    @property
    def prefix(self) -> str:
        """The prefix of the provider's keys."""
        return prefix_of(self.journal.provider)


class PodRent:
    """One pod that a flow requests, or takes over, until it runs.

    Its methods raise `NoPod` if there provably is none. They raise OperationFailed if another node
    would not help, or if it is unknown whether there is a pod.
    """

    def __init__(
        self,
        context: RentContext,
        wanted: Requirements,
        rental: Rental,
        offer: Offer | None = None,
        request: RentRequest | None = None,
    ) -> None:
        self._context = context
        self._account = context.account
        self._journal = context.journal
        self._timing = context.timing
        self._wanted = wanted
        #: The journal's record of it, and the offer; None for one of an earlier flow.
        self.rental = rental
        self.offer = offer
        self._request = request
        #: The pod as last listed; None before.
        self.pod: Pod | None = None
        #: Whether it runs, at the agreed price, and ends when it should.
        self.is_ready = False
        self._end = time.monotonic() + context.keys.up_timeout_secs
        self._missing = 0
        self._missing_since = time.monotonic()

    @classmethod
    def ask(
        cls,
        context: RentContext,
        wanted: Requirements,
        offer: Offer,
        name: str,
        known: Sequence[Pod],
    ) -> PodRent:
        """Check the price and record the request; nothing is sent yet.

        `known` are the pods that exist already.
        """
        try:
            request = context.account.prepare(offer, wanted, name)
        except Refused as e:
            if e.stops:
                raise
            raise NoPod(e.message) from e
        _check_offer_price(context.account, offer, wanted)
        rental = Rental(
            name=name,
            flow_id=context.flow_id,
            key=request.key,
            node_id=offer.id,
            node=offer.huid,
            gpus=wanted.count,
            usd_per_hour=offer.usd_per_hour(wanted.count),
            asked_at=now(),
            ttl_s=wanted.ttl_s,
            known=tuple(pod.id for pod in known),
            account=context.account.identity(),
            owner=this_process(context.flow_id),
        )
        return cls(context, wanted, context.journal.write(rental), offer, request)

    @property
    def is_new(self) -> bool:
        """Whether this flow requested it."""
        return self.offer is not None

    @property
    def usd_per_hour(self) -> float:
        """What it may cost now: as agreed or as billed, whichever is more; 0 for no pod."""
        if not self.rental.is_open:
            return 0.0
        billed = None if self.pod is None else self.pod.usd_per_hour
        return max(self.rental.usd_per_hour, billed or 0.0)

    @property
    def is_listed(self) -> bool:
        """Whether the account lists it, and says what it bills if that is limited."""
        if self.is_ready or self.pod is None:
            return self.is_ready
        return self._wanted.max_usd_per_hour is None or self.pod.usd_per_hour is not None

    def send(self) -> None:
        """Send the request. Afterwards the pod's id is known."""
        assert self._request is not None  # `ask` made it
        pod_id = self._send(self._request)
        self._update(state="rented", pod_id=pod_id, rented_at=now())
        self._missing_since = time.monotonic()

    def look(self, pods: Sequence[Pod] | None) -> None:
        """Learn from a listing (None: there was no answer) whether it runs; then make it ready."""
        if time.monotonic() >= self._end and pods is None:
            raise self._not_running()
        if pods is None:
            return
        pod = next((p for p in pods if p.id == self.rental.pod_id), None)
        if pod is None:
            self._miss()
        elif pod.status in FINAL_STATUSES:
            raise self.give_back(f"it ended as {pod.status}")
        else:
            self.pod, self._missing = pod, 0
            if pod.status == RUNNING and pod.address:
                self._check_billed_price(pod)
                self._arm(pod)
                self.is_ready = True
        if not self.is_ready and time.monotonic() >= self._end:
            raise self._not_running()

    def give_back(self, why: str) -> NoPod:
        """Delete a pod that cannot be used; another one may be requested only if that is proved.

        Raises OperationFailed if it is not.
        """
        self._context.say(f"{self.rental.name} is given back: {why}")
        try:
            delete_rental(self._account, self._journal, self.rental, self._timing)
        except OperationFailed as e:
            raise OperationFailed("provider", f"{why}. {e.message}", e.remedy, e.facts) from e
        self.rental = replace(self.rental, state="deleted")
        return NoPod(why)

    def _update(self, **changes: object) -> None:
        self.rental = self._journal.update(self.rental, **changes)

    def _miss(self) -> None:
        """The listing lacks it: not listed yet, gone, or unknown."""
        self._missing += 1
        if self.pod is not None and self._missing >= 2:
            self._update(state="void")
            raise NoPod("the pod vanished while it was being made")
        if self.pod is None and time.monotonic() > self._missing_since + self._timing.settle_s:
            raise self._not_running()

    def _not_running(self) -> Exception:
        """The error of a pod that does not run in time; one that was listed is given back."""
        if self.pod is None:
            return OperationFailed(
                "provider",
                f"the rent of {self.rental.name} was answered with pod {self.rental.pod_id}, which "
                "is not listed. Whether it exists is unknown; no other pod was requested.",
                "Look at `wf pod-list`. The next flow of this project uses it if it is there.",
                {"pod_id": self.rental.pod_id},
            )
        limit_s, prefix = self._context.keys.up_timeout_secs, self._context.prefix
        return self.give_back(f"it did not run within {limit_s} s ({prefix}UP_TIMEOUT_SECS)")

    def _send(self, request: RentRequest) -> str:
        """The id of the pod that the request made.

        If no answer gives it, the same request is sent again if the API honours its key; otherwise
        the listing is searched. If neither finds the pod, its existence is unknown, and the flow
        ends; but if the API itself answered with an error, the next node is tried.
        """
        unanswered: NoResponse | None = None
        again = MAX_RESENDS
        while True:
            left_s = self._end - time.monotonic()
            try:
                return self._account.rent(request, max(1.0, min(self._timing.answer_s, left_s)))
            except Busy as e:
                # nothing was done: the same request under the same key may be sent again
                if time.monotonic() + e.retry_after_s > self._end:
                    if unanswered is not None:
                        return self._find_rented(unanswered)
                    self._update(state="void")
                    raise
                time.sleep(e.retry_after_s)
            except Refused as e:
                if unanswered is not None:
                    # perhaps by the first request: the node may be taken by our own pod
                    return self._find_rented(unanswered)
                self._update(state="void")
                if e.stops:
                    raise
                raise NoPod(e.message) from e
            except NoResponse as e:
                unanswered = unanswered or e
                if again == 0 or time.monotonic() > self._end or not self._honours_keys():
                    return self._find_rented(unanswered)
                again -= 1
                self._context.say(
                    f"the rent of {self.rental.name} got no answer; sending it again under its key"
                )
                time.sleep(self._timing.poll_s)

    def _honours_keys(self) -> bool:
        try:
            return self._account.honours_keys()
        except (Refused, Busy, NoResponse):
            return False

    def _find_rented(self, why: NoResponse) -> str:
        """The id of the pod that an unanswered rent made, once it is listed."""
        rental, settle_s = self.rental, self._timing.settle_s
        self._context.say(f"the rent of {rental.name} got no answer; looking for it")
        pod = find_unanswered(self._account, self._journal, rental, self._timing, settle_s)
        if pod is not None:
            return pod.id
        if why.is_error and list_pods(self._account, self._timing) is not None:
            # the journal keeps it open: the next flow looks for it once more
            raise NoPod(f"{why.message} No pod of it is listed after {settle_s:g} s.")
        raise OperationFailed(
            "provider",
            f"the rent of {rental.name} on {rental.node} got no answer ({why.message}), and no pod "
            f"of that name was listed within {settle_s:g} s. Whether it exists is "
            "unknown; no other pod was requested.",
            "Look at `wf pod-list`. The next flow of this project uses it if it is there.",
            {"name": rental.name, "node": rental.node_id, "idempotency_key": rental.key},
        )

    def _check_billed_price(self, pod: Pod) -> None:
        billed, agreed = pod.usd_per_hour, self.rental.usd_per_hour
        if billed is None and self._wanted.max_usd_per_hour is None:
            return
        if billed is not None and billed <= agreed + CENTS:
            return
        shown = "a price that the API does not report" if billed is None else f"${billed:g}/h"
        why = f"{self.rental.name} costs {shown}, not ${agreed:g}/h as listed"
        self.give_back(why)
        raise OperationFailed(
            "provider",
            f"{why}. It was deleted at once.",
            "Run the flow again if that price is right; WF_MAX_USD_PER_HOUR is the ceiling.",
            {"agreed_usd_per_hour": agreed, "billed_usd_per_hour": billed},
        )

    def _arm(self, pod: Pod) -> None:
        """Schedule the pod's removal after it has booted (booting resets it); read it back."""
        rental, prefix = self.rental, self._context.prefix
        if not rental.ttl_s or (rental.removal_at and pod.removal_at):
            return
        when = later(rental.asked_at, rental.ttl_s)
        read = schedule_removal(self._account, pod, when, self._timing)
        if not read:
            why = f"{prefix}TTL={self._context.keys.ttl} could not be armed and read back"
            self.give_back(why)
            raise OperationFailed(
                "provider",
                f"{why}: {rental.name} might have run for ever. It was deleted.",
                f"Try again; without {prefix}TTL a pod ends only when it is deleted.",
            )
        self._update(removal_at=read)


def _check_offer_price(account: Account, offer: Offer, wanted: Requirements) -> None:
    listed = account.offers(Requirements())
    fresh = next((o for o in listed if o.id == offer.id), None)
    if fresh is None or fresh.free < wanted.count:
        raise NoPod("it has been taken meanwhile")
    before, after = offer.usd_per_hour(wanted.count), fresh.usd_per_hour(wanted.count)
    if after > before + CENTS:
        raise OperationFailed(
            "provider",
            f"the price of {offer.huid} rose from ${before:g}/h to ${after:g}/h between "
            "listing and rent. Nothing was rented.",
            "Run the flow again if the new price is right; WF_MAX_USD_PER_HOUR is the ceiling.",
            {"listed_usd_per_hour": before, "usd_per_hour": after},
        )
