"""A provider that writes every side effect on an account into the event log.

The session logs each connection itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from pytest_wf.pods.base import EffectLog, Provider, Rented, RentedPods, Target

if TYPE_CHECKING:
    from pytest_wf.config.keys import Config


def logged(provider: Provider, log: EffectLog) -> Provider:
    """`provider`, writing each effect into `log` before it happens, and its outcome."""
    return cast(Provider, _Logged(provider, log))


class _Logged:
    """The methods with side effects; all others are the provider's own."""

    def __init__(self, provider: Any, log: EffectLog) -> None:
        self._provider = provider
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def rent(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str
    ) -> Rented:
        """One intent for the complete rental; the provider's journal has each request."""
        with self._log.effect("rent", self._wanted(config, flow_id)) as outcome:
            rented: Rented = self._provider.rent(config, flow_id, say, project_dir)
            outcome.update(_outcome(rented))
            return rented

    def rent_pods(self, config: Config, flow_id: str, *args: Any) -> RentedPods:
        """One intent for all pods, and the outcome of each."""
        wanted = {**self._wanted(config, flow_id), "count": args[-2], "least": args[-1]}
        with self._log.effect("rent", wanted) as outcome:
            rented: RentedPods = self._provider.rent_pods(config, flow_id, *args)
            outcome["pods"] = [_outcome(pod) for pod in rented.pods]
            return rented

    def _wanted(self, config: Config, flow_id: str) -> dict[str, Any]:
        name = self._provider.name
        keys = {k.name: config.provided[k.name] for k in config.table if k.provider == name}
        return {"provider": name, **_plain(keys), "flow_id": flow_id}

    def delete(self, target: Target, *args: Any) -> dict[str, object]:
        """Delete the pod."""
        with self._log.effect("release", _named(target)) as outcome:
            facts: dict[str, object] = self._provider.delete(target, *args)
            outcome.update(_plain(facts))
            return facts

    def schedule_removal(
        self, target: Target, config: Config, project_dir: str, after_s: int
    ) -> str:
        """Schedule a removal, or cancel it."""
        with self._log.effect(
            "schedule-removal", {**_named(target), "after_s": after_s}
        ) as outcome:
            read: str = self._provider.schedule_removal(target, config, project_dir, after_s)
            outcome["ends"] = read
            return read


def _outcome(rented: Rented) -> dict[str, Any]:
    return {
        "pod": rented.target.name,
        "is_new": rented.is_new,
        "usd_per_hour": rented.usd_per_hour,
    }


def _named(target: Target) -> dict[str, Any]:
    return {"transport": target.transport, "target": target.name, "address": target.address}


def _plain(facts: Mapping[str, object]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if v is None or isinstance(v, str | int | float | bool)}
