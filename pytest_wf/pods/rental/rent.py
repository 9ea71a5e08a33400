"""The pods of one flow: one request, one listing of nodes, and never above the ceiling on costs.

Pods are requested one after another, the next one only when the account shows the prices of those
before, so that their sum stays below the ceiling at any moment. They are waited for together. After
a refusal the next offer is tried.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.background import side_by_side
from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import Offer, Requirements
from pytest_wf.pods.rental.offers import Choice, OfferQueue, choose, pod_name
from pytest_wf.pods.rental.pod_rent import NoPod, PodRent, RentContext
from pytest_wf.pods.rental.recovery import take_idle_pods
from pytest_wf.pods.rental.timing import list_pods

#: The most nodes without a pod that one flow tries.
MAX_OFFERS = 5


@dataclass
class Renting:
    """The rent of `count` pods, of which at least `least` are needed. `run` may be called once."""

    context: RentContext
    wanted: Requirements
    count: int = 1
    least: int = 1
    #: Pods that are rented, taken over, or being created.
    pods: list[PodRent] = field(default_factory=list)
    #: Rents that ended otherwise; one of them may still cost money.
    ended: list[PodRent] = field(default_factory=list)
    tried: list[dict[str, str]] = field(default_factory=list)
    #: Why no further pod is requested.
    failures: list[OperationFailed] = field(default_factory=list)
    choice: Choice = field(default_factory=lambda: Choice((), ()))
    #: The last listing of the account's pods, if it is newer than all changes by this flow.
    _listed: Sequence[Pod] | None = None

    def run(self) -> list[PodRent]:
        """Use pods of this project that are free, and rent the others.

        Raises OperationFailed if there are fewer than `least`; then those that this flow rented are
        given back, and the text says what may still exist.
        """
        self._take_over()
        offers: OfferQueue | None = None
        while True:
            if self._may_ask():
                offers = offers or self._offers()
                offer = self._next(offers)
                if offer is not None:
                    self._ask(offer, offers)
                    continue
            if all(pod.is_ready for pod in self.pods):
                break
            self._look()
        if len(self.pods) < self.least:
            raise self._give_all_back()
        return self.pods

    def facts(self, pod: PodRent) -> dict[str, Any]:
        """Facts about one of the pods, for the evidence."""
        rental, offer = pod.rental, pod.offer
        billed = None if pod.pod is None else pod.pod.usd_per_hour
        facts = {"pod_name": rental.name, "usd_per_hour": billed, "idempotency_key": rental.key}
        facts |= {"ttl_s": rental.ttl_s, "removal_at": rental.removal_at}
        if offer is None:
            return {**facts, "rented_by": rental.flow_id}
        return {
            **facts,
            "node": {"id": offer.id, "huid": offer.huid, "gpu": offer.gpu_type, "tier": offer.tier},
            "gpus": rental.gpus,
            "max_usd_per_hour": self.wanted.max_usd_per_hour,
            "tried": self.tried,
            "passed_over": self.choice.reasons() if self.choice.passed_over else "",
        }

    @property
    def usd_per_hour(self) -> float:
        """What all pods may cost together now, including those not proved to be gone."""
        return sum(pod.usd_per_hour for pod in (*self.pods, *self.ended))

    def _take_over(self) -> None:
        found = take_idle_pods(
            self.context.account,
            self.context.journal,
            self.context.flow_id,
            self.context.timing,
            self.context.say,
            self.count,
        )
        for rental, pod in found:
            price = "?" if pod.usd_per_hour is None else f"{pod.usd_per_hour:g}"
            self.context.say(
                f"using {rental.name} again, rented by {rental.flow_id} for ${price}/h"
            )
            self.pods.append(PodRent(self.context, Requirements(), rental))

    def _offers(self) -> OfferQueue:
        """The nodes that could be rented. Raises OperationFailed if they are too few."""
        self.choice = choose(self.context.account.offers(self.wanted), self.wanted)
        offers = OfferQueue(self.choice.offers, self.wanted.count)
        missing = self.count - len(self.pods)
        found = offers.affordable(missing, self._money_left())
        if not found or len(self.pods) + found < self.least:
            self.failures.append(self._too_few(found, missing))
        return offers

    def _too_few(self, found: int, missing: int) -> OperationFailed:
        what = f"nodes for {found} of {missing} pods are" if self.choice.offers else "no node is"
        return OperationFailed(
            "provider",
            f"{what} on offer for {self._asked_for()}; passed over: {self.choice.reasons()}.",
            f"Relax the {self.context.prefix}* keys or WF_MAX_USD_PER_HOUR, or try later.",
            {"passed_over": dict(self.choice.passed_over)},
        )

    def _asked_for(self) -> str:
        return str(self.wanted) if self.count == 1 else f"{self.count} pods of {self.wanted}"

    def _money_left(self) -> float | None:
        limit = self.wanted.max_usd_per_hour
        return None if limit is None else limit - self.usd_per_hour

    def _may_ask(self) -> bool:
        """Whether another pod is needed, and those before are listed with their prices."""
        is_enough = len(self.pods) >= self.count
        return not (self.failures or is_enough) and all(pod.is_listed for pod in self.pods)

    def _next(self, offers: OfferQueue) -> Offer | None:
        """The offer to try; None if no further pod is requested now."""
        if self.failures:
            return None
        missing = self.count - len(self.pods)
        offer = offers.take(missing, self._money_left())
        if offer is not None and len(self.tried) < MAX_OFFERS:
            return offer
        if self.tried:
            self.failures.append(
                OperationFailed(
                    "provider",
                    f"{len(self.tried)} nodes were tried and none gave a pod: "
                    + "; ".join(f"{t['node']}: {t['why']}" for t in self.tried),
                    ("Nothing is rented. " if self.count == 1 else "")
                    + "Try later, or relax the requirements.",
                    {"tried": self.tried},
                )
            )
        else:
            self.failures.append(self._too_few(0, missing))
        return None

    def _ask(self, offer: Offer, offers: OfferQueue) -> None:
        """Request one pod on the node of `offer`; a failure is recorded."""
        name = self._name()
        self._announce(name, offer)
        asked: PodRent | None = None
        try:
            known = self._listed or self.context.account.pods()
            asked = PodRent.ask(self.context, self.wanted, offer, name, known)
            self._listed = None  # it is older than this rent
            asked.send()
            self.pods.append(asked)
        except (NoPod, OperationFailed) as e:
            offers.drop(offer)
            self._failed(e, asked, offer)

    def _name(self) -> str:
        prefix, flow_id = self.context.keys.pod_name, self.context.flow_id
        # a name that may still be a pod's is not given to another one
        taken = {pod.rental.name for pod in (*self.pods, *self.ended) if pod.rental.is_open}
        slots = range(1, self.count + len(taken) + 1)
        names = [
            pod_name(prefix, flow_id, 0 if self.count == slot == 1 else slot) for slot in slots
        ]
        return next(name for name in names if name not in taken)

    def _announce(self, name: str, offer: Offer) -> None:
        wanted = self.wanted
        price = offer.usd_per_hour(wanted.count)
        ceiling = f", at most ${wanted.max_usd_per_hour:g}/h" if wanted.max_usd_per_hour else ""
        if ceiling and self.count > 1:
            ceiling += f" for all, ${self.usd_per_hour:g}/h before"
        ttl = f", ends by itself after {self.context.keys.ttl}" if wanted.ttl_s else ""
        self.context.say(
            f"renting {name}: {wanted.count} GPU on {offer} for ${price:g}/h{ceiling}{ttl}"
        )

    def _look(self) -> None:
        """One listing for all pods that do not run yet."""
        pods = self._listed = list_pods(self.context.account, self.context.timing)
        for one in [pod for pod in self.pods if not pod.is_ready]:
            try:
                one.look(pods)
            except (NoPod, OperationFailed) as e:
                self.pods.remove(one)
                self._failed(e, one, one.offer)
        is_waiting = not all(pod.is_ready for pod in self.pods)
        if is_waiting and pods is not None and not self._may_ask():
            time.sleep(self.context.timing.poll_s)

    def _failed(self, why: Exception, rent: PodRent | None, offer: Offer | None) -> None:
        self._listed = None
        if rent is not None:
            self.ended.append(rent)
        if isinstance(why, OperationFailed):
            self.failures.append(why)
        elif offer is not None:
            self.tried.append({"node": offer.id, "why": str(why)})
            self.context.say(f"{offer.huid} gives no pod: {why}")
        elif rent is not None:
            self.context.say(f"{rent.rental.name} cannot be used: {why}")

    def _give_all_back(self) -> OperationFailed:
        """Delete what this flow rented; the error that says why, and what may still exist."""
        if self.count == 1:
            return self.failures[0]
        new = [pod for pod in self.pods if pod.is_new]
        why = f"only {len(self.pods)} of {self.count} pods could be rented"
        ends = side_by_side([partial(_given_back, pod, why) for pod in new])
        left = [e for e in ends if e is not None]
        kept = [pod.rental.name for pod in self.pods if not pod.is_new]
        said = [f"{why}; WF_PODS_MIN is {self.least}"]
        said += [e.message.rstrip(".") for e in (*self.failures, *left)]
        said += [f"{len(new) - len(left)} that this flow had rented were given back"] if new else []
        said += [f"{', '.join(kept)} of earlier flows: kept"] if kept else []
        remedies = dict.fromkeys(e.remedy for e in (*self.failures, *left))
        return OperationFailed(
            "provider",
            "; ".join(said) + ".",
            " ".join(remedies),
            {"tried": self.tried, "failures": [e.message for e in (*self.failures, *left)]},
        )


def _given_back(pod: PodRent, why: str) -> OperationFailed | None:
    try:
        pod.give_back(why)
    except OperationFailed as e:
        return e
    return None
