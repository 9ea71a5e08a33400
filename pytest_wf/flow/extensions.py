"""Extensions of a flow or a `wf` command by plugins and projects, through `hookspecs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from pytest_wf import hookspecs
from pytest_wf.config.keys import Config, Key
from pytest_wf.contrib import fineweb
from pytest_wf.court.contract import Contract
from pytest_wf.errors import InputError, Problem
from pytest_wf.pods.base import Provider
from pytest_wf.pods.lium.provider import LiumProvider
from pytest_wf.pods.local import LocalProvider
from pytest_wf.pods.provider_choice import all_keys
from pytest_wf.pods.ssh.provider import SshProvider
from pytest_wf.project.data_contract import DataContract
from pytest_wf.wire.rows import Row

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Check, Evidence

hookimpl = pluggy.HookimplMarker("pytest")


class Extensions:
    """Calls the registered implementations of each hook; `hook` is a plugin manager's."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def providers(self) -> list[Provider]:
        """The registered providers, in the order in which targets are resolved."""
        found: Sequence[Sequence[Provider]] = self._hook.pytest_wf_providers()
        return [provider for providers in found for provider in providers]

    def config_keys(self) -> tuple[Key, ...]:
        """The config keys of the core and of the registered providers. Raises InputError."""
        return all_keys(self.providers())

    def data_contracts(self, config: Config, rows: Sequence[Row]) -> list[DataContract]:
        """Data contracts, built-in ones first; one of a later plugin replaces one of the same name.

        Raises InputError if one plugin gives two of the same name.
        """
        found = self._hook.pytest_wf_data_contracts(config=config, rows=rows)
        named: dict[str, DataContract] = {}
        # the last registered plugin is called first, the built-in one last
        for contracts in reversed(found):
            _demand_names_once(contracts)
            named.update({one.name: one for one in contracts})
        return list(named.values())

    def checks(self, evidence: Evidence, contract: Contract) -> list[Check]:
        """Further checks for the deterministic layer. Raises whatever a hook raises."""
        found = self._hook.pytest_wf_check(evidence=evidence, contract=contract)
        return [check for checks in found for check in checks or ()]

    def audits(self, document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Answers of further auditors. Raises whatever a hook raises."""
        answers: Sequence[Mapping[str, Any]] = self._hook.pytest_wf_audit(document=document)
        return answers

    def record_written(self, kind: str, record: Mapping[str, Any], path: Path) -> None:
        """Pass a record of the evidence to the sinks. Raises whatever a hook raises."""
        self._hook.pytest_wf_record(kind=kind, record=record, path=path)


def _demand_names_once(contracts: Sequence[DataContract]) -> None:
    names = [one.name for one in contracts]
    reason = "one plugin gives it twice, among {}.".format(", ".join(names))
    remedy = "Give each contract of its pytest_wf_data_contracts a name of its own."
    problems = [
        Problem(f"data contract {name!r}", None, "", None, reason, remedy)
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems:
        raise InputError(problems)


class BuiltinProviders:
    """The providers that come with the package, registered through the same hook as others."""

    @hookimpl(trylast=True)
    def pytest_wf_providers(self) -> Sequence[Provider]:
        """This machine, hosts reached by ssh, and pods of Lium (which needs an extra)."""
        return [LocalProvider(), SshProvider(), LiumProvider()]


def register(manager: pluggy.PluginManager) -> None:
    """Register the built-in plugins, and those of the entry point group ``pytest_wf``."""
    manager.register(BuiltinProviders(), "wf-builtin-providers")
    manager.register(fineweb, "wf-fineweb")
    for found in entry_points(group="pytest_wf"):
        if not manager.is_blocked(found.name):
            manager.register(found.load(), f"wf-entry-{found.name}")


def installed() -> Extensions:
    """Extensions that are built in or installed, without any project's."""
    manager = pluggy.PluginManager("pytest")
    manager.add_hookspecs(hookspecs)
    register(manager)
    return Extensions(manager.hook)
