"""The way to a host: jump hosts, addresses, refused and silent ports."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.errors import (
    HostKeyError,
    Unreachable,
)
from pytest_wf.pods.ssh.config import SshConfig
from tests.support.sshd import works

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd


def jump_config(server: Sshd, jump: str) -> str:
    place = f"HostName {server.host}\nPort {server.port}\nUser {server.user}\n"
    return f"Host gpu1\n{place}ProxyJump {jump}\nHost gate gate2\n{place}"


@pytest.mark.parametrize(("jump", "logins"), [("gate", 2), ("gate,gate2", 3), ("none", 1)])
def test_jump_hosts_are_gone_through_one_after_the_other(
    client: Client, jump: str, logins: int
) -> None:
    Path(SshConfig().folder, "config").write_text(jump_config(client.server, jump))
    before = client.server.accepted()
    connection = client.connect(ops_default_host="gpu1")
    assert works(connection)
    assert client.server.accepted() == before + logins
    assert not connection.is_alive()


def test_the_jump_hosts_own_key_is_verified(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    gate = make_sshd()
    text = jump_config(client.server, "gate").split("Host gate")[0]
    text += (
        f"Host gate\nHostName {gate.host}\nPort {gate.port}\nIdentityFile {gate.identity_file}\n"
    )
    Path(SshConfig().folder, "config").write_text(text)
    with pytest.raises(HostKeyError, match=f"{gate.port} is not known"):
        client.connect(ops_default_host="gpu1")
    both = tmp_path / "both"
    both.write_text(client.server.known_hosts_file.read_text() + gate.known_hosts_file.read_text())
    assert works(client.connect(ops_default_host="gpu1", ssh_known_hosts=both))
    assert gate.accepted() == 1


def test_a_jump_host_that_gets_no_connection_says_so(client: Client) -> None:
    text = jump_config(client.server, "gate").replace(f"Port {client.server.port}", "Port 1", 1)
    Path(SshConfig().folder, "config").write_text(text)
    with pytest.raises(Unreachable, match="jump host"):
        client.connect(ops_default_host="gpu1")


def test_a_proxy_command_is_refused_and_not_run(client: Client, tmp_path: Path) -> None:
    text = f"Host gpu1\nHostName 127.0.0.1\nProxyCommand touch {tmp_path}/ran\n"
    Path(SshConfig().folder, "config").write_text(text)
    with pytest.raises(Unreachable, match="ProxyCommand"):
        client.connect(ops_default_host="gpu1")
    assert not (tmp_path / "ran").exists()


def test_a_refused_port_names_host_and_port(client: Client) -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(Unreachable, match=rf"root@127\.0\.0\.1:{port}: Connection refused"):
            client.connect(ops_default_host=f"root@127.0.0.1:{port}")


def test_a_silent_address_of_a_host_leaves_time_for_its_others(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(host: str, port: int, **how: Any) -> list[Any]:
        return [found(host, port, **how)[0] for port in (silent.getsockname()[1], port)]

    found = socket.getaddrinfo
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as silent,
        # it accepts neither of these, and answers no further one
        socket.create_connection(silent.getsockname()),
        closing(socket.socket()) as second,
    ):
        second.setblocking(False)
        second.connect_ex(silent.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        client.connect(ssh_connect_timeout_secs=20).close()


def test_a_name_that_nobody_knows_is_unreachable(client: Client) -> None:
    with pytest.raises(Unreachable, match="cannot be resolved"):
        client.connect(ops_default_host="no-such-host.invalid")
