"""The provider of Lium's pods. The SDK is imported when an account is first opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_wf.config.keys import prefix_of
from pytest_wf.errors import WfError
from pytest_wf.pods.lium.api import LiumAccount
from pytest_wf.pods.lium.config_keys import LiumKeys
from pytest_wf.pods.rental.account import Requirements
from pytest_wf.pods.rental.provider import RentalProvider
from pytest_wf.pods.rental.timing import Timing

if TYPE_CHECKING:
    from pytest_wf.config.keys import Config


class LiumProvider(RentalProvider):
    """Rents pods of one Lium account. `account` opens the account."""

    name = "lium"
    keys = LiumKeys
    secret_env = ("LIUM_API_KEY",)

    def __init__(
        self,
        account: Callable[[Config, str], LiumAccount] | None = None,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(timing)
        self._open = account

    def account(self, config: Config, project_dir: str) -> LiumAccount:
        """The account of LIUM_API_KEY or of lium's own configuration."""
        if self._open is not None:
            return self._open(config, project_dir)
        keys = config.of(self.name, LiumKeys)
        return LiumAccount.open(keys.volume, config.ssh_identity_file, project_dir)

    def problems(self, config: Config, project_dir: str) -> list[WfError]:
        """No package, no API key, or no public key for a new pod to accept."""
        try:
            account = self.account(config, project_dir)
            if not config.target:
                account.public_keys()
        except WfError as e:
            return [e]
        return []

    def requirements(self, config: Config) -> Requirements:
        """What the keys LIUM_* require of a node."""
        keys = config.of(self.name, LiumKeys)
        return replace(
            super().requirements(config),
            gpu=keys.gpu,
            count=keys.count,
            country=keys.country,
            ports=keys.ports,
            node=keys.executor_id,
            node_key=f"{prefix_of(self.name)}EXECUTOR_ID",
        )
