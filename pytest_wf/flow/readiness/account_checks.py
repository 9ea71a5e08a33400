"""Checks of a rented pod's account, by read-only requests; nothing is rented."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_wf.config.keys import prefix_of
from pytest_wf.flow.readiness.finding import Finding, ReadinessCheck, ok, problem
from pytest_wf.pods.base import Renter
from pytest_wf.project.project import Project


@dataclass(frozen=True)
class RentingAccount:
    """The account that this flow's pod comes from."""

    project: Project
    renter: Renter


def _account(it: RentingAccount) -> Iterator[Finding]:
    pods = it.renter.list_pods(it.project.config, str(it.project.root))
    strays = [pod for pod in pods if pod.standing == "orphan"]
    told = f", {len(strays)} of them not in use (`wf pod-list`)" if strays else ""
    yield ok(f"{it.renter.name} answers; {len(pods)} pods of this product{told}")


def _offers(it: RentingAccount) -> Iterator[Finding]:
    project, config, root = it.project, it.project.config, str(it.project.root)
    if not project.renter:
        return
    kept = [pod for pod in it.renter.list_pods(config, root) if pod.standing == "kept"]
    if kept:
        yield ok(f"P10 reuses the pod {kept[0].name} of this project")
        return
    offers = it.renter.offers_now(config, root)
    if offers is None:
        return
    fitting, passed_over = offers
    if fitting:
        yield ok(f"{len(fitting)} nodes fit, such as {fitting[0]}")
    else:
        yield problem(
            f"no node of {it.renter.name} fits now: {passed_over}.",
            f"Ask for less in {prefix_of(it.renter.name)}* or WF_MAX_USD_PER_HOUR, or try later.",
            "provider",
        )


def _volumes(it: RentingAccount) -> Iterator[Finding]:
    config = it.project.config
    key = f"{prefix_of(it.renter.name)}VOLUME"
    kind, _, name = str(config.provided.get(key) or "").partition(":")
    if kind != "id":
        return
    listed = it.renter.volumes(config, str(it.project.root))
    if any(name in (volume.get("huid"), volume.get("id")) for volume in listed):
        yield ok(name)
    else:
        yield problem(
            f"{key}: the account has no volume {name}.",
            "Correct it (`wf pod-list` shows the volumes), or write new:name=<name>.",
            "provider",
        )


ACCOUNT_CHECKS: tuple[ReadinessCheck[RentingAccount], ...] = (
    ReadinessCheck("account", "the provider's account answers", _account),
    ReadinessCheck(
        "offers", "a node that fits is on offer, or a pod of this project is free", _offers
    ),
    ReadinessCheck("volumes", "the account has the volume that is to be mounted", _volumes),
)
