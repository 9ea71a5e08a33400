"""Providers whose every change of the world is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_wf.pods.base import Connection, EffectLog, Pod, Provider, Rented, Renter, Target

if TYPE_CHECKING:
    from pytest_wf.config.reader import Config

__all__ = ["logged"]


def logged(provider: Provider, log: EffectLog) -> Provider:
    """`provider`, which writes into `log` what it is about to do and what came of it."""
    if isinstance(provider, Renter):
        renter: Renter = _LoggedRenter(provider, log)  # said to the type checker: it has all doors
        return renter
    return _Logged(provider, log)


class _Logged:
    """The doors of a `Provider`."""

    def __init__(self, provider: Provider, log: EffectLog) -> None:
        self._provider = provider
        self._log = log
        self.name = provider.name
        self.can_rent = provider.can_rent

    def resolve(self, config: Config) -> Target | None:
        """Looks only."""
        return self._provider.resolve(config)

    def connect(
        self, target: Target, config: Config, project_dir: str, *, read_only: bool = False
    ) -> Connection:
        """A first connection pins the host's key, and marks a rented pod."""
        if read_only:
            return self._provider.connect(target, config, project_dir, read_only=True)
        with self._log.effect("connect", _named(target)) as outcome:
            connection = self._provider.connect(target, config, project_dir)
            outcome.update(connection.facts())
            return connection

    def rent(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str = "."
    ) -> Rented:
        """One intent for all that renting takes; the provider's journal has each request."""
        wanted = {"provider": self.name, "name": config.lium_pod_name, "ttl": config.lium_ttl}
        with self._log.effect("rent", {**wanted, "flow_id": flow_id}) as outcome:
            rented = self._provider.rent(config, flow_id, say, project_dir)
            outcome.update(
                pod=rented.target.name, is_new=rented.is_new, usd_per_hour=rented.usd_per_hour
            )
            return rented

    def release(
        self, target: Target, config: Config, flow_id: str, project_dir: str = "."
    ) -> dict[str, object]:
        """Deletes the pod."""
        with self._log.effect("release", _named(target)) as outcome:
            facts = self._provider.release(target, config, flow_id, project_dir)
            outcome.update(_plain(facts))
            return facts

    def list_pods(self, config: Config, project_dir: str = ".") -> list[Pod]:
        """Looks only."""
        return self._provider.list_pods(config, project_dir)


class _LoggedRenter(_Logged):
    """The doors of a `Renter`."""

    def __init__(self, provider: Renter, log: EffectLog) -> None:
        super().__init__(provider, log)
        self._renter = provider

    def delete(
        self, written: str, config: Config, project_dir: str, *, force: bool = False
    ) -> dict[str, object]:
        """Deletes a pod by its name."""
        with self._log.effect("pod-delete", {"pod": written, "force": force}) as outcome:
            facts = self._renter.delete(written, config, project_dir, force=force)
            outcome.update(_plain(facts))
            return facts

    def left_by(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str = "."
    ) -> Rented | None:
        """Looks only."""
        return self._renter.left_by(config, flow_id, say, project_dir)

    def volumes(self, config: Config, project_dir: str = ".") -> list[dict[str, object]]:
        """Looks only."""
        return self._renter.volumes(config, project_dir)

    def end_when_idle(self, target: Target, config: Config, project_dir: str, after_s: int) -> str:
        """Schedules a removal, or takes it back."""
        asked = {**_named(target), "after_s": after_s}
        with self._log.effect("schedule-removal", asked) as outcome:
            outcome["ends"] = read = self._renter.end_when_idle(
                target, config, project_dir, after_s
            )
            return read


def _named(target: Target) -> dict[str, Any]:
    return {"transport": target.transport, "target": target.name, "address": target.address}


def _plain(facts: Mapping[str, object]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if v is None or isinstance(v, str | int | float | bool)}
