"""P10 and P20: rent a pod if needed, and bind the one target of the flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.consent import require_consent
from pytest_wf.flow.operations.rented_pods import renter_of, report_orphans
from pytest_wf.flow.results import Result
from pytest_wf.pods.base import Provider, Rented, RentedPods, Renter, Target
from pytest_wf.project.project import Project


def resolve(project: Project, providers: Sequence[Provider]) -> tuple[Provider, Target] | None:
    """The target that the config names, with its provider. No contact."""
    for provider in providers:
        target = provider.resolve(project.config)
        if target is not None:
            return provider, target
    return None


def provision(
    project: Project,
    providers: Sequence[Provider],
    *,
    flow_id: str,
    interactive: bool,
    say: Callable[[str], None],
) -> Result:
    """Rent a pod, unless the config names a target or `--wf-provision=skip` was given."""
    ready = _renter_to_use(project, providers, interactive=interactive, say=say)
    if isinstance(ready, Result):
        return ready
    rental = ready.rent(project.config, flow_id, say, str(project.root))
    return _rented(project, ready, (rental,), say)


def provision_pods(
    project: Project,
    providers: Sequence[Provider],
    *,
    flow_id: str,
    interactive: bool,
    say: Callable[[str], None],
) -> tuple[Result, RentedPods]:
    """Rent WF_PODS pods, at least WF_PODS_MIN, if `provision` would rent one."""
    ready = _renter_to_use(project, providers, interactive=interactive, say=say)
    if isinstance(ready, Result):
        return ready, RentedPods(())
    config = project.config
    rented = ready.rent_pods(
        config, flow_id, say, str(project.root), config.wf_pods, config.least_pods
    )
    result = _rented(project, ready, rented.pods, say)
    return replace(result, facts={**result.facts, "missing": list(rented.missing)}), rented


def _renter_to_use(
    project: Project,
    providers: Sequence[Provider],
    *,
    interactive: bool,
    say: Callable[[str], None],
) -> Renter | Result:
    """The provider to rent from, or the result of renting nothing. Raises OperationFailed."""
    config = project.config
    if project.options.provision == "skip":
        return Result("provision", skipped="--wf-provision=skip")
    renter = renter_of(project, providers)
    if config.target:
        facts: dict[str, Any] = {}
        if renter is not None:
            facts["orphans"] = report_orphans(project, renter, say)
        return Result("provision", facts, skipped=f"the config names a target: {config.target}")
    if renter is None:
        raise OperationFailed(
            "no-provider",
            "the config names no target, and no installed provider can rent a pod.",
            "Set OPS_DEFAULT_HOST to an ssh alias, to user@host:port, or to `local`.",
        )
    require_consent(project, interactive=interactive, to="renting a pod, which costs money,")
    return renter


def _rented(
    project: Project, renter: Renter, pods: Sequence[Rented], say: Callable[[str], None]
) -> Result:
    """The result of renting `pods`; the prices of several are summed."""
    first = pods[0]
    prices = [pod.usd_per_hour for pod in pods if pod.usd_per_hour is not None]
    facts = {
        **first.facts,
        "orphans": report_orphans(project, renter, say),
        "provider": renter.name,
        "rented": " ".join(pod.target.name for pod in pods),
        "is_new": all(pod.is_new for pod in pods),
        "usd_per_hour": sum(prices) if prices else None,
        "rented_at": first.rented_at,
        "warnings": _ends_by_itself(first, project.config.wf_idle_delete_secs),
    }
    if len(pods) > 1:
        facts["pods"] = [{**pod.facts, "rented": pod.target.name} for pod in pods]
    return Result("provision", facts, target=first.target)


def _ends_by_itself(rental: Rented, idle_s: int) -> list[str]:
    """Warnings that the provider will end the pod by itself, and what is lost then."""
    limits = []
    if rental.facts.get("ttl_s"):
        limits.append(f"{rental.facts['ttl_s']} s after it was rented")
    if idle_s:
        limits.append(f"{idle_s} s after its last controller has gone")
    if not limits:
        return []
    when = " or ".join(limits)
    return [f"the pod ends {when}: results and checkpoints that are not here by then are lost"]


def bind(
    project: Project, providers: Sequence[Provider], rented: Target | None
) -> tuple[Result, Provider, Target]:
    """Resolve the one target of the flow. Raises OperationFailed if there is none."""
    found = resolve(project, providers)
    if found is None and rented is not None:
        by_name = {p.name: p for p in providers}
        found = by_name[rented.transport], rented
    if found is None:
        raise OperationFailed(
            "no-target",
            "there is no target: the config names none, and no pod was rented.",
            "Set OPS_DEFAULT_HOST to an ssh alias, to user@host:port, or to `local`.",
        )
    provider, target = found
    facts = {
        "transport": target.transport,
        "name": target.name,
        "address": target.address,
        "source": target.source,
    }
    return Result("bind", facts, target=target), provider, target
