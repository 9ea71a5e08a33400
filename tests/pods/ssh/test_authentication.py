"""Logins by key: which keys are offered, and what a host refuses."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_wf.errors import (
    AuthenticationError,
)
from pytest_wf.pods.ssh.config import SshConfig
from tests.support.sshd import works
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd


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
        client.of(server).connect(ssh_identity_file=keygen(tmp_path / "wrong"))


@pytest.mark.fault("N10")
def test_a_host_that_ends_the_connection_at_a_wrong_key_has_refused_it(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    server = make_sshd("MaxAuthTries 1")
    with pytest.raises(AuthenticationError, match="It said: Too many authentication failures"):
        client.of(server).connect(ssh_identity_file=keygen(tmp_path / "wrong"))


def test_a_named_key_is_the_only_one_offered(client: Client, tmp_path: Path) -> None:
    shutil.copy(client.server.identity_file, SshConfig().folder / "id_ed25519")
    with pytest.raises(AuthenticationError):
        client.connect(ssh_identity_file=keygen(tmp_path / "wrong"))


def test_without_a_named_key_the_default_one_is_offered(client: Client) -> None:
    shutil.copy(client.server.identity_file, SshConfig().folder / "id_ed25519")
    assert works(client.connect(ssh_identity_file=""))


def test_the_identity_file_of_the_ssh_config_is_offered(client: Client) -> None:
    server = client.server
    text = f"Host gpu1\nHostName {server.host}\nPort {server.port}\nUser {server.user}\n"
    text += f"IdentityFile {server.identity_file}\n"
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


def _listens(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        return sock.connect_ex(str(path)) == 0


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket_path = tmp_path / "agent"
    argv = ["ssh-agent", "-D", "-a", str(socket_path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        until(lambda: _listens(socket_path), "the agent listens")
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
        client.of(server).connect()
