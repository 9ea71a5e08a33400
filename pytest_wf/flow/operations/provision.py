"""P10 and P20: rent a pod where that is needed, and bind the one target of the flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.rented_pods import require_consent, tell_strays
from pytest_wf.flow.results import Result
from pytest_wf.pods.base import Provider, Target
from pytest_wf.project.project import Project

__all__ = ["bind", "provision", "resolve"]


def resolve(project: Project, providers: Sequence[Provider]) -> tuple[Provider, Target] | None:
    """The target that the config names, with the provider that it belongs to. No contact."""
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
    config = project.config
    if project.options.provision == "skip":
        return Result("provision", skipped="--wf-provision=skip")
    named = config.lium_target or config.ops_default_host
    renters = [p for p in providers if p.can_rent]
    if named:
        facts: dict[str, Any] = {}
        if config.lium_target and renters:
            facts["orphans"] = tell_strays(project, renters[0], say)
        return Result("provision", facts, skipped=f"the config names a target: {named}")
    if not renters:
        raise OperationFailed(
            "no-provider",
            "neither LIUM_TARGET nor OPS_DEFAULT_HOST is set, and no installed provider can rent "
            "a pod.",
            "Set OPS_DEFAULT_HOST to an ssh alias, to user@host:port, or to `local`.",
        )
    require_consent(project, interactive=interactive, to="renting a pod, which costs money,")
    rental = renters[0].rent(config, flow_id, say, str(project.root))
    facts = {
        **rental.facts,
        "orphans": tell_strays(project, renters[0], say),
        "provider": renters[0].name,
        "rented": rental.target.name,
        "is_new": rental.is_new,
        "usd_per_hour": rental.usd_per_hour,
        "rented_at": rental.rented_at,
    }
    return Result("provision", facts, target=rental.target)


def bind(
    project: Project, providers: Sequence[Provider], rented: Target | None
) -> tuple[Result, Provider, Target]:
    """Resolve the one target of the flow. Raises OperationFailed where there is none."""
    config = project.config
    found = resolve(project, providers)
    if found is None and rented is not None:
        by_name = {p.name: p for p in providers}
        found = by_name[rented.transport], rented
    if found is None:
        if config.lium_target:
            raise OperationFailed(
                "no-provider",
                f'LIUM_TARGET="{config.lium_target}" needs a provider for Lium pods, and none is '
                "installed.",
                "Empty LIUM_TARGET and set OPS_DEFAULT_HOST, or install the provider.",
            )
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
