"""SSH hosts as targets: which one the config names, and where it leads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_wf.errors import (
    InputError,
    OperationFailed,
)
from pytest_wf.pods.base import Target, is_renter
from pytest_wf.pods.ssh.config import SshConfig
from pytest_wf.pods.ssh.provider import SshProvider

if TYPE_CHECKING:
    from tests.pods.conftest import Client


def test_the_target_carries_what_was_written_and_where_it_leads(client: Client) -> None:
    server = client.server
    ssh_config = f"Host gpu1\nHostName {server.host}\nPort {server.port}\nUser {server.user}\n"
    Path(SshConfig().folder, "config").write_text(ssh_config)
    target = SshProvider().resolve(client.config(ops_default_host="gpu1"))
    address = f"{server.user}@{server.host}:{server.port}"
    assert target == Target("ssh", "gpu1", "explicit", address)


@pytest.mark.parametrize(
    "keys", [{"ops_default_host": "local"}, {"ops_default_host": ""}, {"lium_target": "my-pod"}]
)
def test_ssh_is_not_the_target_when_the_config_names_another(
    client: Client, keys: dict[str, str]
) -> None:
    assert SshProvider().resolve(client.config(**keys)) is None


def test_a_host_that_cannot_be_resolved_is_a_mistake_of_the_user(client: Client) -> None:
    Path(SshConfig().folder, "config").write_text("Host gpu1\nProxyJump gpu2,gpu1:x\n")
    with pytest.raises(InputError, match=r'OPS_DEFAULT_HOST="gpu1": .*not a port'):
        SshProvider().resolve(client.config(ops_default_host="gpu1"))


def test_a_target_that_leads_elsewhere_than_when_it_was_locked_is_refused(client: Client) -> None:
    config = client.config(ops_default_host="gpu1")
    locked = Target("ssh", "gpu1", address="root@10.0.0.5:22")
    with pytest.raises(OperationFailed) as e:
        SshProvider().connect(locked, config, str(client.project))
    assert e.value.kind == "target-changed"


def test_an_ssh_host_is_neither_rented_nor_deleted(client: Client) -> None:
    provider = SshProvider()
    assert provider.resolve(client.config()) is not None
    assert not is_renter(provider)


def test_paramiko_is_not_imported_before_a_connection_is_opened() -> None:
    program = (
        "import sys, pytest_wf.pods.ssh.provider as s, pytest_wf.pods.local\n"
        "assert s.SshConfig('/nowhere').address('root@gpu1')\n"
        "assert not {'paramiko', 'cryptography', 'pydantic'} & set(sys.modules)"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", program], check=True, env=environ)
