"""Any machine that answers to SSH: `OPS_DEFAULT_HOST` names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.config.keys import HOST_KEY
from pytest_wf.errors import InputError, OperationFailed, Problem, TransportError, WfError
from pytest_wf.pods.base import Provider, Target
from pytest_wf.pods.ssh.config import Address, BadDestination, SshConfig
from pytest_wf.pods.ssh.connect import SshSettings, demand_direct, open_connection
from pytest_wf.pods.ssh.connection import SshConnection
from pytest_wf.pods.ssh.key_pairs import offered_keys

if TYPE_CHECKING:
    from pytest_wf.config.keys import Config


class SshProvider(Provider):
    """Resolves `OPS_DEFAULT_HOST` with `~/.ssh/config` and connects to it.

    `home` replaces the home directory whose `.ssh` is read.
    """

    name = "ssh"

    def __init__(self, home: str | None = None) -> None:
        self._home = home

    def resolve(self, config: Config) -> Target | None:
        """The host that the config names, if it is neither a rented pod nor this machine.

        Nothing is contacted. Raises InputError for a host that cannot be one.
        """
        if config.target_key != HOST_KEY or config.is_local:
            return None
        written = config.target
        address = self._address(written, config.source(HOST_KEY))
        return Target(transport=self.name, name=written, address=str(address))

    def connect(
        self, target: Target, config: Config, project_dir: str, *, read_only: bool = False
    ) -> SshConnection:
        """Open the one connection of a flow; with `read_only` no host key is recorded.

        Raises TransportError, and OperationFailed('target-changed') if the ssh config now leads to
        another address than when the target was locked.
        """
        address = self._address(target.name, config.source(HOST_KEY))
        if target.address and str(address) != target.address:
            raise OperationFailed(
                "target-changed",
                f"{target.name} was {target.address} when the flow began and is {address} now.",
                "Restore the ssh config, or begin a new flow.",
            )
        home = SshConfig(self._home).home
        settings = SshSettings(config, project_dir, home, record_host_key=not read_only)
        return open_connection(target, address, settings)

    def problems(self, config: Config, project_dir: str) -> list[WfError]:
        """An invalid host, a ProxyCommand, and keys that cannot be offered."""
        try:
            address = self._address(config.target, config.source(HOST_KEY))
        except InputError as e:
            return [e]
        home = SshConfig(self._home).home
        settings = SshSettings(config, project_dir, home)
        found: list[WfError] = []
        for hop in (*address.jumps, address):
            try:
                demand_direct(hop)
                with offered_keys(hop, settings.named_key(hop, address), home):
                    pass
            except TransportError as e:
                found.append(e)
        return found

    def _address(self, written: str, line: int | None) -> Address:
        try:
            return SshConfig(self._home).address(written)
        except (BadDestination, OSError) as e:
            raise InputError(
                [
                    Problem(
                        origin="workflow.env",
                        line=line,
                        key=HOST_KEY,
                        value=written,
                        reason=f"{e}.",
                        remedy="Write an alias of ~/.ssh/config, user@host:port, or local.",
                    )
                ]
            ) from e
