"""Which node to rent, and the names of pods: pure functions of listings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rental.account import Offer, Requirements

#: Prices are compared to a hundredth of a cent.
CENTS = 1e-4


@dataclass(frozen=True)
class Choice:
    """Nodes in the order in which they should be tried, and why the others are not."""

    offers: tuple[Offer, ...]
    passed_over: tuple[tuple[str, str], ...]

    def reasons(self) -> str:
        """Why nodes were passed over, counted."""
        counts: dict[str, int] = {}
        for _, reason in self.passed_over:
            counts[reason] = counts.get(reason, 0) + 1
        return ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items())) or "none listed"


def choose(offers: Sequence[Offer], wanted: Requirements) -> Choice:
    """The offers that meet `wanted`: secure tier first, then the cheapest, then the steadiest.

    Raises OperationFailed if the requested node is ambiguous.
    """
    named = _named(offers, wanted.node, wanted.node_key)
    good, passed = [], []
    for offer in named:
        reason = _mismatch(offer, wanted)
        if reason:
            passed.append((offer.id, reason))
        else:
            good.append(offer)
    good.sort(key=lambda o: (o.tier != "secure", o.often_fails, o.usd_per_gpu, o.id))
    return Choice(tuple(good), tuple(passed))


class OfferQueue:
    """Offers in the order in which they should be tried, each as often as pods fit on its node."""

    def __init__(self, offers: Sequence[Offer], gpus: int) -> None:
        self._gpus = gpus
        self._left = [
            offer
            for offer in offers
            for _ in range(1 if offer.whole_only else max(1, offer.free // gpus))
        ]

    def take(self, pods: int, at_most: float | None) -> Offer | None:
        """The next offer to rent if `pods` are still needed for `at_most` together.

        It is the first one that leaves enough money for the cheapest of the others: more pods are
        preferred to better ones. None if no affordable offer is left.
        """
        for needed in range(min(pods, len(self._left)), 0, -1):
            prices = sorted(offer.usd_per_hour(self._gpus) for offer in self._left)[:needed]
            for offer in self._left:
                price = offer.usd_per_hour(self._gpus)
                # this one replaces the last of the cheapest ones, unless it is one of them
                rest = sum(prices[:-1]) if price >= prices[-1] else sum(prices) - price
                if at_most is None or price + rest <= at_most + CENTS:
                    self._left.remove(offer)
                    return offer
        return None

    def affordable(self, pods: int, at_most: float | None) -> int:
        """How many of `pods` can be rented for `at_most` together, at the offered prices."""
        prices = sorted(offer.usd_per_hour(self._gpus) for offer in self._left)[:pods]
        if at_most is not None:
            while prices and sum(prices) > at_most + CENTS:
                prices.pop()
        return len(prices)

    def drop(self, offer: Offer) -> None:
        """Do not try the node of `offer` again."""
        self._left = [other for other in self._left if other.id != offer.id]


def pod_name(prefix: str, flow_id: str, slot: int = 0) -> str:
    """The unique name of a flow's pod; of the pod in `slot` (from 1) if it has several."""
    return f"{prefix}-{flow_id.rpartition('-')[2]}" + (f"-pod{slot}" if slot else "")


def has_prefix(prefix: str, name: str) -> bool:
    """Whether `name` is one that `pod_name` gives."""
    return re.fullmatch(re.escape(prefix) + "-[0-9a-f]{6}(-pod[1-9][0-9]*)?", name) is not None


def _named(offers: Sequence[Offer], node: str, key: str) -> Sequence[Offer]:
    if not node:
        return offers
    exact = [o for o in offers if o.id == node] or [o for o in offers if o.huid == node]
    if len(exact) > 1:
        raise OperationFailed(
            "provider",
            f"the node {node!r} means {len(exact)} nodes: "
            f"{', '.join(sorted(o.id for o in exact))}.",
            f"Set {key or 'the key that names it'} to the id of the intended one.",
        )
    return exact


def _mismatch(offer: Offer, wanted: Requirements) -> str:
    """Why an offer does not meet `wanted`; '' if it does."""
    gpu = wanted.gpu.replace(" ", "").lower()
    names = {offer.gpu_type.replace(" ", "").lower(), offer.machine_name.replace(" ", "").lower()}
    if gpu and not any(gpu in name for name in names):
        return f"without {wanted.gpu}"
    if offer.free < wanted.count or (offer.whole_only and offer.gpu_count != wanted.count):
        return f"without {wanted.count} GPUs for rent"
    where = {offer.country.lower(), offer.country_code.lower()}
    if wanted.country and wanted.country.lower() not in where:
        return f"not in {wanted.country}"
    if wanted.ports and (offer.ports or 0) < wanted.ports:
        return f"with fewer than {wanted.ports} ports"
    if offer.usd_per_gpu <= 0:
        return "without a price"
    price = offer.usd_per_hour(wanted.count)
    if wanted.max_usd_per_hour is not None and price > wanted.max_usd_per_hour:
        return f"more than ${wanted.max_usd_per_hour:g}/h"
    return ""
