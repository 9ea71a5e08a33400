"""What others bring to a flow and to a `wf` command, through the hooks of `hookspecs`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

import pluggy

from pytest_wf import hookspecs
from pytest_wf.config.reader import Config
from pytest_wf.flow.providers import BuiltinProviders
from pytest_wf.pods.base import Provider
from pytest_wf.project.data_contract import DataContract
from pytest_wf.project.manifest import Row

__all__ = ["Extensions", "installed", "register"]


class Extensions:
    """Asks whoever implements the hooks; `hook` is a plugin manager's."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def providers(self) -> list[Provider]:
        """Where pods come from, in the order in which they are asked."""
        found: Sequence[Sequence[Provider]] = self._hook.pytest_wf_providers()
        return [provider for providers in found for provider in providers]

    def data_contracts(self, config: Config, rows: Sequence[Row]) -> list[DataContract]:
        """Contracts on data that the project brings, beside the built-in one."""
        found = self._hook.pytest_wf_data_contracts(config=config, rows=rows)
        return [contract for contracts in found for contract in contracts or ()]


def register(manager: pluggy.PluginManager) -> None:
    """Make known what is built in, and what comes under the entry point group ``pytest_wf``."""
    manager.register(BuiltinProviders(), "wf-builtin-providers")
    for found in entry_points(group="pytest_wf"):
        if not manager.is_blocked(found.name):
            manager.register(found.load(), f"wf-entry-{found.name}")


def installed() -> Extensions:
    """What is built in or installed, without any project's own."""
    manager = pluggy.PluginManager("pytest")
    manager.add_hookspecs(hookspecs)
    register(manager)
    return Extensions(manager.hook)
