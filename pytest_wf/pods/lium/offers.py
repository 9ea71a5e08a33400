"""Which node to rent, and which pod a name means: pure, from listings to a decision."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_wf.config.formats import ttl_s
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod

if TYPE_CHECKING:
    from pytest_wf.config.reader import Config

__all__ = ["Choice", "Offer", "Wish", "carries_prefix", "choose", "pick", "pod_name"]


@dataclass(frozen=True)
class Offer:
    """A node that can be rented now. Prices in US dollars an hour."""

    id: str
    huid: str
    gpu_type: str
    machine_name: str
    #: GPUs of the whole node, and those that are free.
    gpu_count: int
    free: int
    usd_per_gpu: float
    tier: str = ""
    country: str = ""
    country_code: str = ""
    ports: int | None = None
    whole_only: bool = False
    often_fails: bool = False

    def usd_per_hour(self, gpus: int) -> float:
        """What `gpus` of its GPUs cost."""
        return self.usd_per_gpu * gpus

    def __str__(self) -> str:
        where = self.country or self.country_code or "somewhere"
        return f"{self.huid} ({self.gpu_type}, {self.tier or 'no tier'}, {where}, {self.id})"


@dataclass(frozen=True)
class Wish:
    """What the config asks for."""

    gpu: str = ""
    count: int = 1
    country: str = ""
    ports: int | None = None
    node: str = ""
    max_usd_per_hour: float | None = None
    ttl_s: int = 0

    @classmethod
    def of(cls, config: Config) -> Wish:
        """The keys LIUM_* and WF_MAX_USD_PER_HOUR of a config."""
        return cls(
            gpu=config.lium_gpu,
            count=config.lium_count,
            country=config.lium_country,
            ports=config.lium_ports,
            node=config.lium_executor_id,
            max_usd_per_hour=config.wf_max_usd_per_hour,
            ttl_s=ttl_s(config.lium_ttl) if config.lium_ttl else 0,
        )

    @property
    def termination_hours(self) -> int | None:
        """The time to live as the rent takes it: whole hours, 1 to 720."""
        return min(720, max(1, math.ceil(self.ttl_s / 3600))) if self.ttl_s else None


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


def choose(offers: Sequence[Offer], wish: Wish) -> Choice:
    """The offers that fulfil the wish: secure tier first, then the cheapest, then the steadiest.

    Raises OperationFailed where LIUM_EXECUTOR_ID names more than one node.
    """
    named = _named(offers, wish.node)
    good, passed = [], []
    for offer in named:
        reason = _against(offer, wish)
        if reason:
            passed.append((offer.id, reason))
        else:
            good.append(offer)
    good.sort(key=lambda o: (o.tier != "secure", o.often_fails, o.usd_per_gpu, o.id))
    return Choice(tuple(good), tuple(passed))


def pick(pods: Sequence[Pod], written: str) -> Pod | None:
    """The pod that an id, a name or a huid means; ids come first, then names, then huids.

    None where no pod is meant. Raises OperationFailed where more than one is.
    """
    for field in ("id", "name", "huid"):
        found = [pod for pod in pods if getattr(pod, field) == written]
        if len(found) > 1:
            ids = ", ".join(sorted(pod.id for pod in found))
            raise OperationFailed(
                "no-target",
                f"{len(found)} pods have the {field} {written!r}: {ids}.",
                "Name the one that is meant by its id.",
            )
        if found:
            return found[0]
    return None


def pod_name(prefix: str, flow_id: str) -> str:
    """The unique name of a flow's pod."""
    return f"{prefix}-{flow_id.rpartition('-')[2]}"


def carries_prefix(prefix: str, name: str) -> bool:
    """Whether `name` is one that `pod_name` gives."""
    return re.fullmatch(re.escape(prefix) + "-[0-9a-f]{6}", name) is not None


def _named(offers: Sequence[Offer], node: str) -> Sequence[Offer]:
    if not node:
        return offers
    exact = [o for o in offers if o.id == node] or [o for o in offers if o.huid == node]
    if len(exact) > 1:
        raise OperationFailed(
            "provider",
            f"LIUM_EXECUTOR_ID={node} means {len(exact)} nodes: "
            f"{', '.join(sorted(o.id for o in exact))}.",
            "Write the UUID of the one that is meant.",
        )
    return exact


def _against(offer: Offer, wish: Wish) -> str:
    """Why an offer does not fulfil the wish; empty where it does."""
    gpu = wish.gpu.replace(" ", "").lower()
    names = {offer.gpu_type.replace(" ", "").lower(), offer.machine_name.replace(" ", "").lower()}
    if gpu and not any(gpu in name for name in names):
        return f"without {wish.gpu}"
    if offer.free < wish.count or (offer.whole_only and offer.gpu_count != wish.count):
        return f"without {wish.count} GPUs for rent"
    where = {offer.country.lower(), offer.country_code.lower()}
    if wish.country and wish.country.lower() not in where:
        return f"not in {wish.country}"
    if wish.ports and (offer.ports or 0) < wish.ports:
        return f"with fewer than {wish.ports} ports"
    if offer.usd_per_gpu <= 0:
        return "without a price"
    price = offer.usd_per_hour(wish.count)
    if wish.max_usd_per_hour is not None and price > wish.max_usd_per_hour:
        return f"dearer than ${wish.max_usd_per_hour:g}/h"
    return ""
