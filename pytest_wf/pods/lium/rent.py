"""One rent, from the listing of nodes to a pod that runs: never two pods, none in the dark.

Each step is in the journal before it is taken. A clear no leads to the next offer; an answer
that leaves open whether there is a pod is settled by looking for the pod's name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod
from pytest_wf.pods.lium.api import Account, Busy, Refused, RentRequest, Unanswered
from pytest_wf.pods.lium.deletion import end_pod
from pytest_wf.pods.lium.offers import Choice, Offer, Wish, choose, pod_name
from pytest_wf.pods.lium.pace import TERMINAL, Pace, look
from pytest_wf.pods.lium.removal_schedule import arm, later
from pytest_wf.pods.lium.rentals import Journal, Rental, now, this_process
from pytest_wf.pods.lium.reuse import find_unanswered, rented_again
from pytest_wf.pods.lium.volume import volume_of

if TYPE_CHECKING:
    from pytest_wf.config.reader import Config

__all__ = ["Renting"]

#: Nodes that one flow tries.
MAX_OFFERS = 5
#: Prices are compared to a hundredth of a cent.
_CENTS = 1e-4


class _NextOffer(Exception):
    """This node gives no pod, and provably gave none."""


@dataclass
class Renting:
    """The state of one rent. `run` may be called once."""

    account: Account
    journal: Journal
    config: Config
    flow_id: str
    say: Callable[[str], None]
    pace: Pace
    tried: list[dict[str, str]] = field(default_factory=list)

    def run(self) -> tuple[Rental, dict[str, Any]]:
        """Rent. The journal's record, and facts for the evidence.

        Raises OperationFailed; whether a pod exists then stands in its text.
        """
        wish = Wish.of(self.config)
        self.account.public_keys()
        choice = choose(self.account.offers(wish), wish)
        if not choice.offers:
            raise OperationFailed(
                "provider",
                f"no node is on offer for {_shown(wish)}; passed over: {choice.reasons()}.",
                "Loosen LIUM_GPU, LIUM_COUNT, LIUM_COUNTRY, LIUM_PORTS or WF_MAX_USD_PER_HOUR, "
                "or try later.",
                {"passed_over": dict(choice.passed_over)},
            )
        volume_id = volume_of(self.account, self.config.lium_volume)
        for offer in choice.offers[:MAX_OFFERS]:
            self._announce(offer, wish)
            try:
                rental, pod = self._try(offer, wish, volume_id)
            except _NextOffer as e:
                self.tried.append({"node": offer.id, "why": str(e)})
                self.say(f"{offer.huid} gives no pod: {e}")
                continue
            return rental, self._facts(rental, pod, offer, choice, wish)
        raise OperationFailed(
            "provider",
            f"{len(self.tried)} nodes were tried and none gave a pod: "
            + "; ".join(f"{t['node']}: {t['why']}" for t in self.tried),
            "Nothing is rented. Try later, or loosen what is asked for.",
            {"tried": self.tried},
        )

    def again(self) -> tuple[Rental, dict[str, Any]] | None:
        """The pod that this project has and that nobody works on, ready as a new one would be.

        None where there is none, or where it came to nothing.
        """
        found = rented_again(self.account, self.journal, self.flow_id, self.pace, self.say)
        if found is None:
            return None
        rental, pod = found
        self.say(f"using {rental.name} again, rented by {rental.flow_id} for ${_price(pod)}/h")
        end = time.monotonic() + self.config.lium_up_timeout_secs
        try:
            rental, pod = self._finish(rental, Wish(), end)
        except _NextOffer as e:
            self.say(f"{rental.name} came to nothing: {e}")
            return None
        return rental, {
            "pod_name": rental.name,
            "rented_by": rental.flow_id,
            "usd_per_hour": pod.usd_per_hour,
            "idempotency_key": rental.key,
            "ttl_s": rental.ttl_s,
            "removal_at": rental.removal_at,
        }

    def _announce(self, offer: Offer, wish: Wish) -> None:
        price = offer.usd_per_hour(wish.count)
        ceiling = f", at most ${wish.max_usd_per_hour:g}/h" if wish.max_usd_per_hour else ""
        ttl = f", ends by itself after {self.config.lium_ttl}" if wish.ttl_s else ""
        name = pod_name(self.config.lium_pod_name, self.flow_id)
        self.say(f"renting {name}: {wish.count} GPU on {offer} for ${price:g}/h{ceiling}{ttl}")

    def _try(self, offer: Offer, wish: Wish, volume_id: str | None) -> tuple[Rental, Pod]:
        end = time.monotonic() + self.config.lium_up_timeout_secs
        name = pod_name(self.config.lium_pod_name, self.flow_id)
        try:
            request = self.account.assemble(offer, wish, name, volume_id)
        except Refused as e:
            if e.stops:
                raise
            raise _NextOffer(e.message) from e
        known = tuple(pod.id for pod in self.account.pods())
        self._price_must_stand(offer, wish)
        rental = self.journal.write(
            Rental(
                name=name,
                flow_id=self.flow_id,
                key=request.key,
                node_id=offer.id,
                node=offer.huid,
                gpus=wish.count,
                usd_per_hour=offer.usd_per_hour(wish.count),
                asked_at=now(),
                ttl_s=wish.ttl_s,
                known=known,
                account=self.account.identity(),
                owner=this_process(self.flow_id),
            )
        )
        pod_id = self._send(request, rental, end)
        rental = self.journal.update(rental, state="rented", pod_id=pod_id, rented_at=now())
        return self._finish(rental, wish, end)

    def _finish(self, rental: Rental, wish: Wish, end: float) -> tuple[Rental, Pod]:
        pod = self._running(rental, end)
        self._price_must_be(rental, pod, wish)
        return self._arm(rental, pod), pod

    def _price_must_stand(self, offer: Offer, wish: Wish) -> None:
        fresh = self.account.offer(offer.id)
        if fresh is None or fresh.free < wish.count:
            raise _NextOffer("somebody else has taken it")
        before, after = offer.usd_per_hour(wish.count), fresh.usd_per_hour(wish.count)
        if after > before + _CENTS:
            raise OperationFailed(
                "provider",
                f"the price of {offer.huid} rose from ${before:g}/h to ${after:g}/h between "
                "listing and rent. Nothing was rented.",
                "Run the flow again if the new price is right; WF_MAX_USD_PER_HOUR is the ceiling.",
                {"listed_usd_per_hour": before, "usd_per_hour": after},
            )

    def _send(self, request: RentRequest, rental: Rental, end: float) -> str:
        while True:
            left_s = end - time.monotonic()
            try:
                return self.account.send(request, max(1.0, min(self.pace.answer_s, left_s)))
            except Busy as e:
                # put off is not done: the same request under the same key may come again
                if time.monotonic() + e.retry_after_s > end:
                    self.journal.update(rental, state="void")
                    raise
                time.sleep(e.retry_after_s)
            except Refused as e:
                self.journal.update(rental, state="void")
                if e.stops:
                    raise
                raise _NextOffer(e.message) from e
            except Unanswered as e:
                self.say(f"the rent of {rental.name} got no answer; looking for it")
                return self._settled(rental, e)

    def _settled(self, rental: Rental, why: Unanswered) -> str:
        """The id of the pod that an unanswered rent made, once it is listed."""
        pod = find_unanswered(self.account, rental, self.pace, self.pace.settle_s)
        if pod is not None:
            return pod.id
        raise OperationFailed(
            "provider",
            f"the rent of {rental.name} on {rental.node} got no answer ({why.message}), and no pod "
            f"of that name was listed within {self.pace.settle_s:g} s. Whether it exists is "
            "unknown; nothing else was rented.",
            "Look at `wf pod-list`. The next flow of this project uses it if it is there.",
            {"name": rental.name, "node": rental.node_id, "idempotency_key": rental.key},
        )

    def _running(self, rental: Rental, end: float) -> Pod:
        """The pod once it is RUNNING with an address."""
        seen, missing = False, 0
        missing_since = time.monotonic()
        while time.monotonic() < end:
            pods = look(self.account, self.pace)
            if pods is None:
                continue
            pod = next((p for p in pods if p.id == rental.pod_id), None)
            if pod is not None and pod.status == "RUNNING" and pod.address:
                return pod
            if pod is not None and pod.status in TERMINAL:
                raise self._given_back(rental, f"it ended as {pod.status}")
            if pod is None:
                missing += 1
                if seen and missing >= 2:
                    self.journal.update(rental, state="void")
                    raise _NextOffer("the pod vanished while it was being made")
                if not seen and time.monotonic() > missing_since + self.pace.settle_s:
                    break
            else:
                seen, missing = True, 0
            time.sleep(self.pace.poll_s)
        if not seen:
            raise OperationFailed(
                "provider",
                f"the rent of {rental.name} was answered with pod {rental.pod_id}, which is not "
                "listed. Whether it exists is unknown; nothing else was rented.",
                "Look at `wf pod-list`. The next flow of this project uses it if it is there.",
                {"pod_id": rental.pod_id},
            )
        limit_s = self.config.lium_up_timeout_secs
        raise self._given_back(rental, f"it did not run within {limit_s} s (LIUM_UP_TIMEOUT_SECS)")

    def _given_back(self, rental: Rental, why: str) -> _NextOffer:
        """End a pod that came to nothing; going on is right only where that is proved.

        Raises OperationFailed where it is not.
        """
        self.say(f"{rental.name} is given back: {why}")
        try:
            end_pod(self.account, self.journal, rental, self.pace)
        except OperationFailed as e:
            raise OperationFailed("provider", f"{why}. {e.message}", e.remedy, e.facts) from e
        return _NextOffer(why)

    def _price_must_be(self, rental: Rental, pod: Pod, wish: Wish) -> None:
        billed = pod.usd_per_hour
        if billed is None and wish.max_usd_per_hour is None:
            return
        if billed is not None and billed <= rental.usd_per_hour + _CENTS:
            return
        shown = "a price that the API does not tell" if billed is None else f"${billed:g}/h"
        why = f"{rental.name} costs {shown}, not ${rental.usd_per_hour:g}/h as listed"
        self._given_back(rental, why)
        raise OperationFailed(
            "provider",
            f"{why}. It was deleted at once.",
            "Run the flow again if that price is right; WF_MAX_USD_PER_HOUR is the ceiling.",
            {"agreed_usd_per_hour": rental.usd_per_hour, "billed_usd_per_hour": billed},
        )

    def _arm(self, rental: Rental, pod: Pod) -> Rental:
        """Schedule the pod's end after it has booted (booting resets it), and read it back."""
        if not rental.ttl_s or (rental.removal_at and pod.removal_at):
            return rental
        when = later(rental.asked_at, rental.ttl_s)
        read = arm(self.account, rental.pod_id, when, self.pace)
        if not read:
            why = f"LIUM_TTL={self.config.lium_ttl} could not be armed and read back"
            self._given_back(rental, why)
            raise OperationFailed(
                "provider",
                f"{why}: {rental.name} might have run for ever. It was deleted.",
                "Try again; without LIUM_TTL a pod ends only when it is deleted.",
            )
        return self.journal.update(rental, removal_at=read)

    def _facts(
        self, rental: Rental, pod: Pod, offer: Offer, choice: Choice, wish: Wish
    ) -> dict[str, Any]:
        return {
            "pod_name": rental.name,
            "node": {"id": offer.id, "huid": offer.huid, "gpu": offer.gpu_type, "tier": offer.tier},
            "gpus": rental.gpus,
            "usd_per_hour": pod.usd_per_hour,
            "max_usd_per_hour": wish.max_usd_per_hour,
            "idempotency_key": rental.key,
            "ttl_s": rental.ttl_s,
            "removal_at": rental.removal_at,
            "tried": self.tried,
            "passed_over": choice.reasons() if choice.passed_over else "",
        }


def _price(pod: Pod) -> str:
    """What a pod costs, as people read it."""
    return "?" if pod.usd_per_hour is None else f"{pod.usd_per_hour:g}"


def _shown(wish: Wish) -> str:
    words = [f"{wish.count} GPU"] + [w for w in (wish.gpu, wish.country, wish.node) if w]
    if wish.max_usd_per_hour is not None:
        words.append(f"at most ${wish.max_usd_per_hour:g}/h")
    return ", ".join(words)
