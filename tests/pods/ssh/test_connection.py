"""Connections to a real sshd: who it is, who we are, and what happens when it goes away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.errors import (
    AuthenticationError,
    HostKeyError,
    InputError,
    LinkLost,
    OperationFailed,
    TransportError,
    Unreachable,
)
from pytest_wf.pods.base import Target, is_renter
from pytest_wf.pods.ssh.config import Address, SshConfig
from pytest_wf.pods.ssh.connect import SshSettings, open_connection
from pytest_wf.pods.ssh.connection import MAX_CHANNELS, SshConnection
from pytest_wf.pods.ssh.handshake import BoundedSocket
from pytest_wf.pods.ssh.provider import SshProvider
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd


def works(connection: SshConnection) -> bool:
    with closing(connection):
        return connection.run(["echo", "hello"], timeout_s=30).stdout == "hello\n"


@pytest.fixture
def other(client: Client, make_sshd: Callable[..., Sshd]) -> Iterator[Client]:
    """A client of a server of its own, for tests that change the server."""
    server = make_sshd()
    yield type(client)(server, client._make, client.project)
    server.stop()


# --- which target


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


# --- is it the right host


def test_a_known_host_is_connected_to_once_and_its_facts_are_told(client: Client) -> None:
    before = client.server.accepted()
    connection = client.connect()
    facts = connection.facts()
    assert works(connection)
    assert client.server.accepted() == before + 1
    assert facts["host_key"] == client.server.host_key_fingerprint
    assert facts["host_key_type"] == "ssh-ed25519"
    assert facts["host_key_trust"] == "known"
    assert facts["cipher"] == "aes128-gcm@openssh.com"
    assert facts["strict_kex"] == "yes"
    assert not client.own_known_hosts.exists()


def test_an_unknown_host_is_refused_with_its_fingerprint_and_the_line_to_add(
    client: Client,
) -> None:
    before = client.server.accepted()
    with pytest.raises(HostKeyError) as e:
        client.connect(ssh_known_hosts="")
    server = client.server
    assert f"SSH_HOST_FINGERPRINT={server.host_key_fingerprint}" in e.value.remedy
    assert f"[{server.host}]:{server.port} {server.host_key}" in e.value.remedy
    assert not client.own_known_hosts.exists()
    assert server.accepted() == before


def test_the_line_from_the_error_is_the_remedy(client: Client) -> None:
    with pytest.raises(HostKeyError) as e:
        client.connect(ssh_known_hosts="")
    client.own_known_hosts.parent.mkdir()
    client.own_known_hosts.write_text(e.value.remedy.splitlines()[-1])
    assert works(client.connect(ssh_known_hosts=""))


def test_the_users_own_known_hosts_are_read(client: Client) -> None:
    shutil.copy(client.server.known_hosts_file, SshConfig().folder / "known_hosts")
    assert works(client.connect(ssh_known_hosts=""))


def test_hashed_known_hosts_are_read(client: Client) -> None:
    theirs = SshConfig().folder / "known_hosts"
    shutil.copy(client.server.known_hosts_file, theirs)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(theirs)], check=True, capture_output=True)
    assert "127.0.0.1" not in theirs.read_text()
    assert works(client.connect(ssh_known_hosts=""))


@pytest.mark.fault("N11")
def test_accept_new_records_the_first_key_and_a_changed_one_is_fatal(other: Client) -> None:
    keys = {"ssh_known_hosts": "", "ssh_host_key_policy": "accept-new"}
    first = other.server.host_key_fingerprint
    connection = other.connect(**keys)
    assert connection.facts()["host_key_trust"] == "recorded"
    assert works(connection)
    assert works(other.connect(ssh_known_hosts=""))
    assert other.own_known_hosts.stat().st_mode & 0o777 == 0o600
    other.server.new_host_key()
    other.server.restart()
    with pytest.raises(HostKeyError, match="has changed") as e:
        other.connect(**keys)
    assert first in str(e.value)
    assert other.server.host_key_fingerprint in str(e.value)


def test_a_key_of_another_type_than_the_known_one_is_fatal(other: Client) -> None:
    other.connect(ssh_known_hosts="", ssh_host_key_policy="accept-new").close()
    other.server.new_host_key("ecdsa")
    other.server.restart()
    with pytest.raises(HostKeyError, match="has changed"):
        other.connect(ssh_known_hosts="", ssh_host_key_policy="accept-new")


def test_a_host_with_several_keys_is_asked_for_the_known_one(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    for kind in ("rsa", "ecdsa"):
        key = str(tmp_path / kind)
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", key], check=True)
    server = make_sshd(f"HostKey {tmp_path}/rsa\nHostKey {tmp_path}/ecdsa")
    public = " ".join((tmp_path / "rsa.pub").read_text().split()[:2])
    server.known_hosts_file.write_text(f"[{server.host}]:{server.port} {public}\n")
    connection = type(client)(server, client._make, tmp_path).connect()
    assert connection.facts()["host_key_type"] == "ssh-rsa"
    assert works(connection)


def test_a_pinned_fingerprint_needs_no_known_hosts(client: Client) -> None:
    pin = client.server.host_key_fingerprint
    connection = client.connect(ssh_known_hosts="", ssh_host_fingerprint=pin)
    assert connection.facts()["host_key_trust"] == "pinned"
    assert works(connection)


def test_a_wrong_pin_is_fatal_though_the_host_is_known(client: Client) -> None:
    pin = "SHA256:" + "A" * 43
    with pytest.raises(HostKeyError) as e:
        client.connect(ssh_host_fingerprint=pin)
    assert pin in str(e.value)
    assert client.server.host_key_fingerprint in str(e.value)


@pytest.mark.parametrize("pinned", [False, True])
def test_a_revoked_key_is_fatal(client: Client, tmp_path: Path, pinned: bool) -> None:
    server = client.server
    theirs = tmp_path / "theirs"
    theirs.write_text(server.known_hosts_file.read_text() + f"@revoked * {server.host_key}\n")
    pin = server.host_key_fingerprint if pinned else ""
    with pytest.raises(HostKeyError, match="revoked"):
        client.connect(ssh_known_hosts=theirs, ssh_host_fingerprint=pin)


@pytest.fixture
def rented(client: Client) -> tuple[Target, Address, SshSettings]:
    """A rented pod that was never connected to, and its address under its id."""
    config = client.config(ssh_known_hosts="")
    target = SshProvider().resolve(config)
    assert target is not None
    server = client.server
    address = Address(server.user, server.host, server.port, key_alias="pod-7")
    settings = SshSettings(config, str(client.project), SshConfig().home, accept_first_key=True)
    return target, address, settings


def test_the_first_key_of_a_rented_pod_is_recorded_under_its_id(
    client: Client, rented: tuple[Target, Address, SshSettings]
) -> None:
    target, address, settings = rented
    assert works(open_connection(target, address, settings))
    assert client.own_known_hosts.read_text().startswith("pod-7 ssh-ed25519 ")
    assert works(open_connection(target, address, replace(settings, accept_first_key=False)))


def test_a_first_key_can_be_accepted_without_being_recorded(
    client: Client, rented: tuple[Target, Address, SshSettings]
) -> None:
    target, address, settings = rented
    opened = open_connection(target, address, replace(settings, record_host_key=False))
    assert opened.facts()["host_key_trust"] == "unrecorded"
    assert works(opened)
    assert not client.own_known_hosts.exists()


@pytest.mark.parametrize(("policy", "is_accepted"), [("accept-new", True), ("strict", False)])
def test_a_read_only_connection_records_no_key_and_keeps_the_policy(
    client: Client, policy: str, is_accepted: bool
) -> None:
    config = client.config(ssh_known_hosts="", ssh_host_key_policy=policy)
    provider = SshProvider()
    target = provider.resolve(config)
    assert target is not None
    refusal = nullcontext() if is_accepted else pytest.raises(HostKeyError)
    with refusal:
        assert works(provider.connect(target, config, str(client.project), read_only=True))
    assert not client.own_known_hosts.exists()


# --- the way there


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
        client.connect(ssh_connect_timeout_secs=4).close()


def test_a_name_that_nobody_knows_is_unreachable(client: Client) -> None:
    with pytest.raises(Unreachable, match="cannot be resolved"):
        client.connect(ops_default_host="no-such-host.invalid")


@pytest.mark.fault("N10", "N13")
@pytest.mark.parametrize(
    "banner", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-silent\r\n"]
)
def test_a_server_that_falls_silent_is_given_up_in_time_without_a_traceback(
    client: Client, banner: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer() -> None:
            with closing(listener.accept()[0]) as sock:
                sock.sendall(banner)
                sock.settimeout(20)
                while sock.recv(4096):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match="does not answer as an SSH server"):
            client.connect(ops_default_host=f"root@127.0.0.1:{port}", ssh_connect_timeout_secs=1)
        thread.join()
    assert caplog.text == ""


def test_a_host_that_ends_the_connection_is_not_called_late(client: Client) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def leave() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=leave)
        thread.start()
        with pytest.raises(Unreachable, match="as an SSH server: "):
            client.connect(ops_default_host=f"root@127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


@pytest.mark.fault("N13")
@pytest.mark.parametrize("sent", [b"x" * 65536, b"x\n" * 32768, b"SSH-2.0-x\r\n" + b"\xff" * 65536])
def test_a_host_that_sends_without_end_is_given_up_at_once(client: Client, sent: bytes) -> None:
    total = 0
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def flood() -> None:
            nonlocal total
            with closing(listener.accept()[0]) as sock, suppress(OSError):
                while total < 1 << 30:
                    total += sock.send(sent)

        thread = threading.Thread(target=flood)
        thread.start()
        began = time.monotonic()
        with pytest.raises(Unreachable, match="does not answer as an SSH server"):
            client.connect(ops_default_host=f"root@127.0.0.1:{listener.getsockname()[1]}")
        assert time.monotonic() - began < 10
        thread.join()
    assert total < 64 << 20  # what the kernel's buffers took


@pytest.mark.fault("N13")
def test_a_link_that_is_reset_in_the_key_exchange_is_unreachable(client: Client) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def reset() -> None:
            sock = listener.accept()[0]
            sock.sendall(b"SSH-2.0-x\r\n")
            sock.recv(4096)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

        thread = threading.Thread(target=reset)
        thread.start()
        with pytest.raises(Unreachable, match="does not answer as an SSH server"):
            client.connect(ops_default_host=f"root@127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


@pytest.mark.fault("N10")
def test_a_host_with_too_many_logins_under_way_is_unreachable_in_its_own_words(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("MaxStartups 1")
    with ExitStack() as waiting:

        def waits() -> bool:
            sock = waiting.enter_context(socket.create_connection((server.host, server.port)))
            return sock.recv(100).startswith(b"SSH-")

        assert until(waits)
        with pytest.raises(Unreachable, match="it said: Exceeded MaxStartups"):
            type(client)(server, client._make, client.project).connect()


def test_a_host_that_offers_old_algorithms_only_is_told_from_a_silent_one(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    key = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    server = make_sshd("HostKeyAlgorithms ssh-rsa\nHostKey " + str(key))
    with pytest.raises(Unreachable, match="no algorithm in common"):
        type(client)(server, client._make, client.project).connect()


# --- who we are


def keygen(path: Path, passphrase: str = "") -> Path:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(argv, check=True)
    return path


@pytest.mark.fault("N10")
def test_a_key_that_the_host_does_not_know_is_refused_and_named(
    client: Client, tmp_path: Path
) -> None:
    wrong = keygen(tmp_path / "wrong")
    with pytest.raises(AuthenticationError, match="refused every key") as e:
        client.connect(ssh_identity_file=wrong)
    assert str(wrong) in str(e.value)
    assert "authorized_keys" in e.value.remedy


def test_what_a_host_says_to_a_login_that_it_refuses_is_quoted(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    (tmp_path / "banner").write_text("\x1b[31mMembers of the lab only.\x1b[0m\n")
    server = make_sshd(f"Banner {tmp_path}/banner")
    with pytest.raises(AuthenticationError, match="It said: Members of the lab only"):
        type(client)(server, client._make, client.project).connect(
            ssh_identity_file=keygen(tmp_path / "wrong")
        )


@pytest.mark.fault("N10")
def test_a_host_that_ends_the_connection_at_a_wrong_key_has_refused_it(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    server = make_sshd("MaxAuthTries 1")
    with pytest.raises(AuthenticationError, match="It said: Too many authentication failures"):
        type(client)(server, client._make, client.project).connect(
            ssh_identity_file=keygen(tmp_path / "wrong")
        )


def test_a_named_key_is_the_only_one_offered(client: Client, tmp_path: Path) -> None:
    shutil.copy(client.server.identity_file, SshConfig().folder / "id_ed25519")
    with pytest.raises(AuthenticationError):
        client.connect(ssh_identity_file=keygen(tmp_path / "wrong"))


def test_without_a_named_key_the_default_one_is_offered(client: Client) -> None:
    shutil.copy(client.server.identity_file, SshConfig().folder / "id_ed25519")
    assert works(client.connect(ssh_identity_file=""))


def test_the_identity_file_of_the_ssh_config_is_offered(client: Client) -> None:
    text = jump_config(client.server, "none") + f"IdentityFile {client.server.identity_file}\n"
    text = text.replace("Host gate", f"IdentityFile {client.server.identity_file}\nHost gate", 1)
    Path(SshConfig().folder, "config").write_text(text)
    assert works(client.connect(ops_default_host="gpu1", ssh_identity_file=""))


def test_without_any_key_the_error_says_where_one_may_stand(client: Client) -> None:
    with pytest.raises(AuthenticationError, match="no key to offer") as e:
        client.connect(ssh_identity_file="")
    assert "SSH_IDENTITY_FILE" in e.value.remedy


def test_a_key_file_that_others_may_read_is_refused(client: Client, tmp_path: Path) -> None:
    key = keygen(tmp_path / "open")
    key.chmod(0o644)
    with pytest.raises(AuthenticationError, match="open to others"):
        client.connect(ssh_identity_file=key)


def test_a_key_file_that_is_missing_is_named(client: Client, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="no-key-here cannot be read"):
        client.connect(ssh_identity_file=tmp_path / "no-key-here")


def test_a_public_key_given_as_the_private_one_is_refused(client: Client) -> None:
    public = client.server.identity_file.with_suffix(".pub")
    public.chmod(0o600)
    with pytest.raises(AuthenticationError, match="not a usable private key"):
        client.connect(ssh_identity_file=public)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket_path = tmp_path / "agent"
    argv = ["ssh-agent", "-D", "-a", str(socket_path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        assert until(socket_path.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
        yield
        process.terminate()


def test_a_key_behind_a_passphrase_is_used_through_the_agent_or_not_at_all(
    client: Client, agent: None, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    shutil.copy(client.server.identity_file, locked)
    subprocess.run(["ssh-add", "-q", str(locked)], check=True)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(locked)], check=True)
    assert works(client.connect(ssh_identity_file=locked))
    subprocess.run(["ssh-add", "-q", "-D"], check=True)
    with pytest.raises(AuthenticationError, match="passphrase") as e:
        client.connect(ssh_identity_file=locked)
    assert e.value.remedy == f"Run: ssh-add {locked}"


def test_the_agents_keys_are_offered(client: Client, agent: None) -> None:
    subprocess.run(["ssh-add", "-q", str(client.server.identity_file)], check=True)
    connection = client.connect(ssh_identity_file="")
    assert connection.facts()["key"] == "ssh agent"
    assert works(connection)


@pytest.mark.parametrize(("hosts", "takes"), [("yes", "hostbased"), ("no", "nothing")])
def test_a_host_that_takes_no_keys_says_what_it_takes(
    client: Client, make_sshd: Callable[..., Sshd], hosts: str, takes: str
) -> None:
    server = make_sshd(f"PubkeyAuthentication no\nHostbasedAuthentication {hosts}")
    with pytest.raises(AuthenticationError, match=f"takes no keys, only: {takes}"):
        type(client)(server, client._make, client.project).connect()


def test_a_host_that_ends_the_key_exchange_is_said_to_have_done_so(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("HostKeyAlgorithms rsa-sha2-256")  # of which it has no key
    with pytest.raises(Unreachable, match=r"as an SSH server: (closed|.*reset)"):
        type(client)(server, client._make, client.project).connect()


# --- what happens on the way


def test_the_socket_notices_a_dead_link(client: Client) -> None:
    connection = client.connect()
    sock = connection._link._transport.sock
    assert isinstance(sock, BoundedSocket)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
    connection.close()


@pytest.mark.parametrize("how", ["run", "read", "wait"])
def test_a_session_that_is_killed_is_a_lost_link_and_not_an_end(client: Client, how: str) -> None:
    connection = client.connect()
    stream = connection.start(["sh", "-c", "echo ready; exec sleep 60"])
    assert stream.read(100, timeout_s=30) == b"ready\n"
    killer = threading.Timer(0.2, client.server.cut_sessions)
    killer.start()
    waiting: dict[str, Callable[[], object]] = {
        "run": lambda: connection.run(["sleep", "60"], timeout_s=30),
        "read": lambda: stream.read(100, timeout_s=30),
        "wait": lambda: stream.wait(30),
    }
    with pytest.raises(LinkLost, match=f"{client.server.port} broke"):
        waiting[how]()
    killer.join()
    assert not connection.is_alive()
    with pytest.raises(LinkLost):
        connection.run(["true"], timeout_s=5)
    stream.close()
    connection.close()


def test_a_status_that_came_before_the_link_broke_counts(client: Client) -> None:
    connection = client.connect()
    stream = connection.start(["sh", "-c", "exit 3"])
    assert stream.wait(30) == 3
    client.server.cut_sessions()
    assert until(lambda: not connection.is_alive())
    assert stream.wait(5) == 3
    stream.close()
    connection.close()


def test_a_command_killed_by_a_signal_is_unknown_while_the_link_lives(client: Client) -> None:
    connection = client.connect()
    done = connection.run(["sh", "-c", "kill -9 $$"], timeout_s=30)
    assert done.returncode is None
    assert connection.is_alive()
    connection.close()


@pytest.mark.fault("N9")
def test_a_stopped_server_does_not_end_sessions_that_it_has(other: Client) -> None:
    connection = other.connect()
    other.server.stop()
    assert works(connection)


def test_a_frozen_host_is_given_up_at_the_commands_own_deadline(client: Client) -> None:
    connection = client.connect()
    connection.run(["true"], timeout_s=30)
    sessions = client.server.sessions()
    for pid in sessions:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            connection.run(["true"], timeout_s=0.5)
    finally:
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)
    connection.close()


def test_commands_beyond_the_limit_wait_for_their_turn(client: Client) -> None:
    connection = client.connect()
    streams = [connection.start(["cat"]) for _ in range(MAX_CHANNELS)]
    with pytest.raises(TimeoutError, match="under way"):
        connection.run(["true"], timeout_s=0.2)
    opener = threading.Timer(0.2, streams[0].close)
    opener.start()
    assert connection.run(["echo", "my turn"], timeout_s=30).stdout == "my turn\n"
    opener.join()
    for stream in streams:
        stream.close()
    connection.close()


@pytest.mark.fault("N10")
def test_a_host_that_allows_fewer_sessions_is_given_further_links(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("MaxSessions 1")
    connection = type(client)(server, client._make, client.project).connect()
    for _ in range(2):  # a link that is free again is used again
        streams = [connection.start(["cat"]) for _ in range(MAX_CHANNELS)]
        for number, stream in enumerate(streams):
            stream.write(b"%d" % number)
            assert stream.read(10, timeout_s=30) == b"%d" % number
            stream.close()
    assert server.accepted() == MAX_CHANNELS
    connection.close()
    assert until(lambda: not server.sessions())


def test_a_further_link_that_breaks_does_not_end_the_others(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("MaxSessions 1")
    connection = type(client)(server, client._make, client.project).connect()
    first = connection.start(["cat"])
    before = set(server.sessions())
    second = connection.start(["cat"])
    for pid in set(server.sessions()) - before:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(LinkLost):
        second.read(10, timeout_s=30)
    second.close()
    assert connection.is_alive()
    assert connection.run(["echo", "on"], timeout_s=30).stdout == "on\n"
    first.write(b"still here")
    assert first.read(10, timeout_s=30) == b"still here"
    first.close()
    connection.close()


def test_a_further_link_goes_to_the_host_that_was_verified_or_to_none(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("MaxSessions 1")
    other = type(client)(server, client._make, client.project)
    connection = other.connect(ssh_host_key_policy="accept-new")
    stream = connection.start(["cat"])
    server.new_host_key()
    server.restart()
    with pytest.raises(HostKeyError):
        connection.start(["cat"])
    stream.close()
    connection.close()


@pytest.mark.fault("N10")
def test_a_host_that_allows_no_sessions_says_so(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    connection = type(client)(make_sshd("MaxSessions 0"), client._make, client.project).connect()
    with pytest.raises(Unreachable, match="refuses every session"):
        connection.run(["true"], timeout_s=30)
    connection.close()


def test_a_host_that_forbids_what_was_asked_answers_as_it_likes(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("ForceCommand echo only this")
    connection = type(client)(server, client._make, client.project).connect()
    assert connection.run(["rm", "-rf", "x"], timeout_s=30).stdout == "only this\n"
    connection.close()


def test_input_that_crosses_with_a_commands_end_does_not_cost_the_connection(
    client: Client,
) -> None:
    connection = client.connect()
    failed: list[Exception] = []

    def work() -> None:
        try:
            for size in (0, 1, 100_000) * 8:
                assert connection.run(["true"], stdin=b"x" * size, timeout_s=60).ok
        except (TransportError, TimeoutError, AssertionError) as e:
            failed.append(e)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.close()
    assert not failed
    assert "nonexistent channel" not in client.server.log()
