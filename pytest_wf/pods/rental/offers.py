"""Which node to rent, and the names of pods: pure, from listings to a decision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rental.account import Offer, Requirements


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
    """The offers that fulfil what is wanted: secure tier first, then the cheapest, then the
    steadiest.

    Raises OperationFailed where the node that is asked for is more than one.
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


def pod_name(prefix: str, flow_id: str) -> str:
    """The unique name of a flow's pod."""
    return f"{prefix}-{flow_id.rpartition('-')[2]}"


def has_prefix(prefix: str, name: str) -> bool:
    """Whether `name` is one that `pod_name` gives."""
    return re.fullmatch(re.escape(prefix) + "-[0-9a-f]{6}", name) is not None


def _named(offers: Sequence[Offer], node: str, key: str) -> Sequence[Offer]:
    if not node:
        return offers
    exact = [o for o in offers if o.id == node] or [o for o in offers if o.huid == node]
    if len(exact) > 1:
        raise OperationFailed(
            "provider",
            f"the node {node!r} means {len(exact)} nodes: "
            f"{', '.join(sorted(o.id for o in exact))}.",
            f"Set {key or 'the key that names it'} to the id of the one that is meant.",
        )
    return exact


def _mismatch(offer: Offer, wanted: Requirements) -> str:
    """Why an offer does not fulfil what is wanted; empty where it does."""
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
        return f"dearer than ${wanted.max_usd_per_hour:g}/h"
    return ""
