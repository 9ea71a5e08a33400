"""The provider of Lium's pods as long as nobody asks it for anything: nothing is imported.

A plan, a help text or a flow on another machine is made without the rooms behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_wf.pods.base import Connection, Pod, Rented, Target

if TYPE_CHECKING:
    from pytest_wf.config.reader import Config
    from pytest_wf.pods.lium.provider import LiumProvider

__all__ = ["LazyLium"]


class LazyLium:
    """`LiumProvider`, imported by the first call that needs it."""

    name = "lium"
    can_rent = True

    @cached_property
    def _lium(self) -> LiumProvider:
        from pytest_wf.pods.lium.provider import LiumProvider

        return LiumProvider()

    def resolve(self, config: Config) -> Target | None:
        """See `LiumProvider.resolve`."""
        return Target(self.name, config.lium_target) if config.lium_target else None

    def rent(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str = "."
    ) -> Rented:
        """See `LiumProvider.rent`."""
        return self._lium.rent(config, flow_id, say, project_dir)

    def left_by(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str = "."
    ) -> Rented | None:
        """See `LiumProvider.left_by`."""
        return self._lium.left_by(config, flow_id, say, project_dir)

    def connect(
        self, target: Target, config: Config, project_dir: str, *, read_only: bool = False
    ) -> Connection:
        """See `LiumProvider.connect`."""
        return self._lium.connect(target, config, project_dir, read_only=read_only)

    def release(
        self, target: Target, config: Config, flow_id: str, project_dir: str = "."
    ) -> dict[str, object]:
        """See `LiumProvider.release`."""
        return self._lium.release(target, config, flow_id, project_dir)

    def list_pods(self, config: Config, project_dir: str = ".") -> list[Pod]:
        """See `LiumProvider.list_pods`."""
        return self._lium.list_pods(config, project_dir)

    def volumes(self, config: Config, project_dir: str = ".") -> list[dict[str, object]]:
        """See `LiumProvider.volumes`."""
        return self._lium.volumes(config, project_dir)

    def delete(
        self, written: str, config: Config, project_dir: str, *, force: bool = False
    ) -> dict[str, object]:
        """See `LiumProvider.delete`."""
        return self._lium.delete(written, config, project_dir, force=force)

    def end_when_idle(self, target: Target, config: Config, project_dir: str, after_s: int) -> str:
        """See `LiumProvider.end_when_idle`."""
        return self._lium.end_when_idle(target, config, project_dir, after_s)
