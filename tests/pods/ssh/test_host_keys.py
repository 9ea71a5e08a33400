"""Which host is connected to: known keys, first keys, pinned and revoked ones."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_wf.errors import (
    HostKeyError,
)
from pytest_wf.pods.base import Target
from pytest_wf.pods.ssh.config import Address, SshConfig
from pytest_wf.pods.ssh.connect import SshSettings, open_connection
from pytest_wf.pods.ssh.provider import SshProvider
from tests.support.sshd import works

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd


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
    connection = client.of(server).connect()
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
