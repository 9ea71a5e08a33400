"""One rent, from the listing of nodes to a running pod: never two pods, none unrecorded.

Each step is in the journal before it is taken. After a refusal the next offer is tried; where an
answer leaves open whether there is a pod, the listing is searched for the pod's name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_wf.config.keys import prefix_of
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import (
    ENDED,
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
from pytest_wf.pods.rental.offers import Choice, choose, pod_name
from pytest_wf.pods.rental.recovery import find_unanswered, take_idle_pod
from pytest_wf.pods.rental.removal_schedule import later, schedule_removal
from pytest_wf.pods.rental.timing import Timing, list_pods

#: Nodes that one flow tries.
MAX_OFFERS = 5
#: How often a rent without an answer is sent again under its key.
MAX_RESENDS = 3
#: Prices are compared to a hundredth of a cent.
_CENTS = 1e-4


class _NextOffer(Exception):
    """This node gives no pod, and provably gave none."""


@dataclass
class Renting:
    """The state of one rent. `run` may be called once."""

    account: Account
    journal: Journal
    keys: RentalKeys
    flow_id: str
    say: Callable[[str], None]
    timing: Timing
    tried: list[dict[str, str]] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """How the names of the provider's keys begin."""
        return prefix_of(self.journal.provider)

    def run(self, wanted: Requirements) -> tuple[Rental, dict[str, Any]]:
        """Rent. The journal's record, and facts for the evidence.

        Raises OperationFailed; its text says whether a pod exists.
        """
        choice = choose(self.account.offers(wanted), wanted)
        if not choice.offers:
            raise OperationFailed(
                "provider",
                f"no node is on offer for {wanted}; passed over: {choice.reasons()}.",
                f"Relax the {self.prefix}* keys or WF_MAX_USD_PER_HOUR, or try later.",
                {"passed_over": dict(choice.passed_over)},
            )
        for offer in choice.offers[:MAX_OFFERS]:
            self._announce(offer, wanted)
            try:
                rental, pod = self._try(offer, wanted)
            except _NextOffer as e:
                self.tried.append({"node": offer.id, "why": str(e)})
                self.say(f"{offer.huid} gives no pod: {e}")
                continue
            return rental, self._facts(rental, pod, offer, choice, wanted)
        raise OperationFailed(
            "provider",
            f"{len(self.tried)} nodes were tried and none gave a pod: "
            + "; ".join(f"{t['node']}: {t['why']}" for t in self.tried),
            "Nothing is rented. Try later, or relax what is asked for.",
            {"tried": self.tried},
        )

    def reuse(self) -> tuple[Rental, dict[str, Any]] | None:
        """The pod that this project has and that no process uses, ready as a new one would be.

        None where there is none, or where it could not be made ready.
        """
        found = take_idle_pod(self.account, self.journal, self.flow_id, self.timing, self.say)
        if found is None:
            return None
        rental, pod = found
        self.say(f"using {rental.name} again, rented by {rental.flow_id} for ${_price(pod)}/h")
        end = time.monotonic() + self.keys.up_timeout_secs
        try:
            rental, pod = self._finish(rental, Requirements(), end)
        except _NextOffer as e:
            self.say(f"{rental.name} cannot be used: {e}")
            return None
        return rental, {
            "pod_name": rental.name,
            "rented_by": rental.flow_id,
            "usd_per_hour": pod.usd_per_hour,
            "idempotency_key": rental.key,
            "ttl_s": rental.ttl_s,
            "removal_at": rental.removal_at,
        }

    def _announce(self, offer: Offer, wanted: Requirements) -> None:
        price = offer.usd_per_hour(wanted.count)
        ceiling = f", at most ${wanted.max_usd_per_hour:g}/h" if wanted.max_usd_per_hour else ""
        ttl = f", ends by itself after {self.keys.ttl}" if wanted.ttl_s else ""
        name = pod_name(self.keys.pod_name, self.flow_id)
        self.say(f"renting {name}: {wanted.count} GPU on {offer} for ${price:g}/h{ceiling}{ttl}")

    def _try(self, offer: Offer, wanted: Requirements) -> tuple[Rental, Pod]:
        end = time.monotonic() + self.keys.up_timeout_secs
        name = pod_name(self.keys.pod_name, self.flow_id)
        try:
            request = self.account.prepare(offer, wanted, name)
        except Refused as e:
            if e.stops:
                raise
            raise _NextOffer(e.message) from e
        known = tuple(pod.id for pod in self.account.pods())
        self._check_offer_price(offer, wanted)
        rental = self.journal.write(
            Rental(
                name=name,
                flow_id=self.flow_id,
                key=request.key,
                node_id=offer.id,
                node=offer.huid,
                gpus=wanted.count,
                usd_per_hour=offer.usd_per_hour(wanted.count),
                asked_at=now(),
                ttl_s=wanted.ttl_s,
                known=known,
                account=self.account.identity(),
                owner=this_process(self.flow_id),
            )
        )
        pod_id = self._send(request, rental, end)
        rental = self.journal.update(rental, state="rented", pod_id=pod_id, rented_at=now())
        return self._finish(rental, wanted, end)

    def _finish(self, rental: Rental, wanted: Requirements, end: float) -> tuple[Rental, Pod]:
        pod = self._wait_running(rental, end)
        self._check_billed_price(rental, pod, wanted)
        return self._arm(rental, pod), pod

    def _check_offer_price(self, offer: Offer, wanted: Requirements) -> None:
        listed = self.account.offers(Requirements())
        fresh = next((o for o in listed if o.id == offer.id), None)
        if fresh is None or fresh.free < wanted.count:
            raise _NextOffer("it has been taken meanwhile")
        before, after = offer.usd_per_hour(wanted.count), fresh.usd_per_hour(wanted.count)
        if after > before + _CENTS:
            raise OperationFailed(
                "provider",
                f"the price of {offer.huid} rose from ${before:g}/h to ${after:g}/h between "
                "listing and rent. Nothing was rented.",
                "Run the flow again if the new price is right; WF_MAX_USD_PER_HOUR is the ceiling.",
                {"listed_usd_per_hour": before, "usd_per_hour": after},
            )

    def _send(self, request: RentRequest, rental: Rental, end: float) -> str:
        """The id of the pod that the request made.

        Where no answer says so, the same request is sent again if the API honours its key, and
        the listing is searched else. A pod that neither finds is unknown, and ends the flow;
        where the API itself answered with an error, the next node is tried.
        """
        unanswered: NoResponse | None = None
        again = MAX_RESENDS
        while True:
            left_s = end - time.monotonic()
            try:
                return self.account.rent(request, max(1.0, min(self.timing.answer_s, left_s)))
            except Busy as e:
                # nothing was done: the same request under the same key may be sent again
                if time.monotonic() + e.retry_after_s > end:
                    if unanswered is not None:
                        return self._find_rented(rental, unanswered)
                    self.journal.update(rental, state="void")
                    raise
                time.sleep(e.retry_after_s)
            except Refused as e:
                if unanswered is not None:
                    # by the first request, perhaps: the node may be taken by our own pod
                    return self._find_rented(rental, unanswered)
                self.journal.update(rental, state="void")
                if e.stops:
                    raise
                raise _NextOffer(e.message) from e
            except NoResponse as e:
                unanswered = unanswered or e
                if again == 0 or time.monotonic() > end or not self._honours_keys():
                    return self._find_rented(rental, unanswered)
                again -= 1
                self.say(f"the rent of {rental.name} got no answer; sending it again under its key")
                time.sleep(self.timing.poll_s)

    def _honours_keys(self) -> bool:
        try:
            return self.account.honours_keys()
        except (Refused, Busy, NoResponse):
            return False

    def _find_rented(self, rental: Rental, why: NoResponse) -> str:
        """The id of the pod that an unanswered rent made, once it is listed."""
        self.say(f"the rent of {rental.name} got no answer; looking for it")
        settle_s = self.timing.settle_s
        pod = find_unanswered(self.account, self.journal, rental, self.timing, settle_s)
        if pod is not None:
            return pod.id
        if why.is_error and list_pods(self.account, self.timing) is not None:
            # the journal keeps it open: the next flow looks for it once more
            raise _NextOffer(f"{why.message} No pod of it is listed after {settle_s:g} s.")
        raise OperationFailed(
            "provider",
            f"the rent of {rental.name} on {rental.node} got no answer ({why.message}), and no pod "
            f"of that name was listed within {settle_s:g} s. Whether it exists is "
            "unknown; nothing else was rented.",
            "Look at `wf pod-list`. The next flow of this project uses it if it is there.",
            {"name": rental.name, "node": rental.node_id, "idempotency_key": rental.key},
        )

    def _wait_running(self, rental: Rental, end: float) -> Pod:
        """The pod once it is RUNNING with an address."""
        seen, missing = False, 0
        missing_since = time.monotonic()
        while time.monotonic() < end:
            pods = list_pods(self.account, self.timing)
            if pods is None:
                continue
            pod = next((p for p in pods if p.id == rental.pod_id), None)
            if pod is not None and pod.status == RUNNING and pod.address:
                return pod
            if pod is not None and pod.status in ENDED:
                raise self._give_back(rental, f"it ended as {pod.status}")
            if pod is None:
                missing += 1
                if seen and missing >= 2:
                    self.journal.update(rental, state="void")
                    raise _NextOffer("the pod vanished while it was being made")
                if not seen and time.monotonic() > missing_since + self.timing.settle_s:
                    break
            else:
                seen, missing = True, 0
            time.sleep(self.timing.poll_s)
        if not seen:
            raise OperationFailed(
                "provider",
                f"the rent of {rental.name} was answered with pod {rental.pod_id}, which is not "
                "listed. Whether it exists is unknown; nothing else was rented.",
                "Look at `wf pod-list`. The next flow of this project uses it if it is there.",
                {"pod_id": rental.pod_id},
            )
        limit_s = self.keys.up_timeout_secs
        raise self._give_back(
            rental, f"it did not run within {limit_s} s ({self.prefix}UP_TIMEOUT_SECS)"
        )

    def _give_back(self, rental: Rental, why: str) -> _NextOffer:
        """Delete a pod that cannot be used; the next offer may be tried only where that is proved.

        Raises OperationFailed where it is not.
        """
        self.say(f"{rental.name} is given back: {why}")
        try:
            delete_rental(self.account, self.journal, rental, self.timing)
        except OperationFailed as e:
            raise OperationFailed("provider", f"{why}. {e.message}", e.remedy, e.facts) from e
        return _NextOffer(why)

    def _check_billed_price(self, rental: Rental, pod: Pod, wanted: Requirements) -> None:
        billed = pod.usd_per_hour
        if billed is None and wanted.max_usd_per_hour is None:
            return
        if billed is not None and billed <= rental.usd_per_hour + _CENTS:
            return
        shown = "a price that the API does not tell" if billed is None else f"${billed:g}/h"
        why = f"{rental.name} costs {shown}, not ${rental.usd_per_hour:g}/h as listed"
        self._give_back(rental, why)
        raise OperationFailed(
            "provider",
            f"{why}. It was deleted at once.",
            "Run the flow again if that price is right; WF_MAX_USD_PER_HOUR is the ceiling.",
            {"agreed_usd_per_hour": rental.usd_per_hour, "billed_usd_per_hour": billed},
        )

    def _arm(self, rental: Rental, pod: Pod) -> Rental:
        """Schedule the pod's removal after it has booted (booting resets it); read it back."""
        if not rental.ttl_s or (rental.removal_at and pod.removal_at):
            return rental
        when = later(rental.asked_at, rental.ttl_s)
        read = schedule_removal(self.account, pod, when, self.timing)
        if not read:
            why = f"{self.prefix}TTL={self.keys.ttl} could not be armed and read back"
            self._give_back(rental, why)
            raise OperationFailed(
                "provider",
                f"{why}: {rental.name} might have run for ever. It was deleted.",
                f"Try again; without {self.prefix}TTL a pod ends only when it is deleted.",
            )
        return self.journal.update(rental, removal_at=read)

    def _facts(
        self, rental: Rental, pod: Pod, offer: Offer, choice: Choice, wanted: Requirements
    ) -> dict[str, Any]:
        return {
            "pod_name": rental.name,
            "node": {"id": offer.id, "huid": offer.huid, "gpu": offer.gpu_type, "tier": offer.tier},
            "gpus": rental.gpus,
            "usd_per_hour": pod.usd_per_hour,
            "max_usd_per_hour": wanted.max_usd_per_hour,
            "idempotency_key": rental.key,
            "ttl_s": rental.ttl_s,
            "removal_at": rental.removal_at,
            "tried": self.tried,
            "passed_over": choice.reasons() if choice.passed_over else "",
        }


def _price(pod: Pod) -> str:
    """What a pod costs, as people read it."""
    return "?" if pod.usd_per_hour is None else f"{pod.usd_per_hour:g}"
