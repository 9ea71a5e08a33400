"""Any machine that answers to SSH: `OPS_DEFAULT_HOST` names it, nobody rents it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_wf.errors import InputError, OperationFailed, Problem
from pytest_wf.pods.base import Pod, Rented, Target
from pytest_wf.pods.ssh.config import Address, BadDestination, SshConfig
from pytest_wf.pods.ssh.connect import SshSettings, open_connection
from pytest_wf.pods.ssh.connection import SshConnection

if TYPE_CHECKING:
    from pytest_wf.config.reader import Config

__all__ = ["SshProvider"]


class SshProvider:
    """Resolves `OPS_DEFAULT_HOST` by `~/.ssh/config` and connects to it.

    `home` stands in for the home directory whose `.ssh` is read.
    """

    name = "ssh"
    can_rent = False

    def __init__(self, home: str | None = None) -> None:
        self._home = home

    def resolve(self, config: Config) -> Target | None:
        """The host that the config names, if it is neither a rented pod nor this machine.

        Nothing is contacted. Raises InputError for a host that cannot be one.
        """
        written = config.ops_default_host
        if config.lium_target or config.is_local or not written:
            return None
        address = self._address(written, config.source("OPS_DEFAULT_HOST"))
        return Target(transport=self.name, name=written, address=str(address))

    def connect(
        self, target: Target, config: Config, project_dir: str, *, read_only: bool = False
    ) -> SshConnection:
        """Open the one connection of a flow; with `read_only` no host key is recorded.

        Raises TransportError, and OperationFailed('target-changed') where the ssh config now
        leads somewhere else than when the target was locked.
        """
        address = self._address(target.name, config.source("OPS_DEFAULT_HOST"))
        if target.address and str(address) != target.address:
            raise OperationFailed(
                "target-changed",
                f"{target.name} was {target.address} when the flow began and is {address} now.",
                "Restore the ssh config, or begin a new flow.",
            )
        home = SshConfig(self._home).home
        settings = SshSettings(config, project_dir, home, record_host_key=not read_only)
        return open_connection(target, address, settings)

    def rent(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str = "."
    ) -> Rented:
        """Raises OperationFailed: a host reached by SSH is not for rent."""
        raise OperationFailed(
            "provider", "An SSH host cannot be rented.", "Set OPS_DEFAULT_HOST to one that runs."
        )

    def release(
        self, target: Target, config: Config, flow_id: str, project_dir: str = "."
    ) -> dict[str, object]:
        """Nothing: the machine is not ours to delete."""
        return {"deleted": False, "reason": f"{target.name} was not rented"}

    def list_pods(self, config: Config, project_dir: str = ".") -> list[Pod]:
        """None: nothing here was rented."""
        return []

    def _address(self, written: str, line: int | None) -> Address:
        try:
            return SshConfig(self._home).address(written)
        except (BadDestination, OSError) as e:
            raise InputError(
                [
                    Problem(
                        origin="workflow.env",
                        line=line,
                        key="OPS_DEFAULT_HOST",
                        value=written,
                        reason=f"{e}.",
                        remedy="Write an alias of ~/.ssh/config, user@host:port, or local.",
                    )
                ]
            ) from e
