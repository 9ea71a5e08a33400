from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_wf.core.config import Config, load
from pytest_wf.pods.ssh import SshProvider
from pytest_wf.pods.ssh_link import SshConnection

if TYPE_CHECKING:
    from tests.conftest import Sshd

_REQUIRED = (
    "REPO_URL=https://example.com/repo.git\nOPS_REMOTE_REPO=/srv/repo\n"
    "OPS_REMOTE_OUTPUTS_DIR=/srv/outputs\n"
)


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Config]:
    """A real config with the given keys, named in lower case."""

    def make(**keys: object) -> Config:
        lines = "".join(f"{name.upper()}='{value}'\n" for name, value in keys.items())
        return load(
            (_REQUIRED + lines).encode(),
            origin="workflow.env",
            project_dir=str(tmp_path),
            needs_csv=False,
            needs_target=False,
        )

    return make


class Client:
    """The client's side of an SSH server: a config that trusts it, changed by keywords."""

    def __init__(self, server: Sshd, make: Callable[..., Config], project: Path) -> None:
        self.server = server
        self.project = project
        self.own_known_hosts = project / "flows" / "known_hosts"
        self._make = make

    def config(self, **keys: object) -> Config:
        """A config that trusts the server and holds its key, changed by `keys`."""
        return self._make(
            **{
                "ops_default_host": f"{self.server.user}@{self.server.host}:{self.server.port}",
                "ssh_known_hosts": self.server.known_hosts_file,
                "ssh_identity_file": self.server.identity_file,
                **keys,
            }
        )

    def connect(self, **keys: object) -> SshConnection:
        """Resolve and connect as a flow does."""
        config = self.config(**keys)
        provider = SshProvider()
        target = provider.resolve(config)
        assert target is not None
        return provider.connect(target, config, str(self.project))


@pytest.fixture
def client(
    sshd: Sshd, make_config: Callable[..., Config], client_home: Path, tmp_path: Path
) -> Client:
    """A client of the module's SSH server, in a project and a home of its own."""
    return Client(sshd, make_config, tmp_path)
