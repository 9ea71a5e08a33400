"""Host certificates by `@cert-authority` lines: accepted by OpenSSH's rules, or refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_wf.errors import HostKeyError

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd

Sign = Callable[..., "Certified"]


class Certified:
    """A server whose host key has a certificate, and a client that knows its authority."""

    def __init__(self, client: Client, server: Sshd, authority: Path, folder: Path) -> None:
        self.server = server
        self.authority = " ".join(authority.with_suffix(".pub").read_text().split()[:2])
        self.known_hosts = folder / "authorities"
        self._client = client.of(server)

    def trust(self, *lines: str) -> dict[str, str]:
        """How the client trusts the host when known_hosts is `lines`."""
        self.known_hosts.write_text("".join(line + "\n" for line in lines))
        connection = self._client.connect(ssh_known_hosts=self.known_hosts)
        facts = connection.facts()
        connection.close()
        return facts

    @property
    def line(self) -> str:
        return f"@cert-authority 127.0.0.1 {self.authority}"


@pytest.fixture
def sign(client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path) -> Sign:
    """Makes a server with a certificate; takes options of `ssh-keygen -s`, and key types."""

    def made(*options: str, authority: str = "ed25519", host: str = "ed25519") -> Certified:
        key = tmp_path / "authority"
        keygen = ["ssh-keygen", "-q"]
        subprocess.run([*keygen, "-t", authority, "-N", "", "-f", str(key)], check=True)
        server = make_sshd()
        if host != "ed25519":
            server.new_host_key(host)
        options = options or ("-h", "-n", "127.0.0.1", "-V", "-1h:+1h")
        public = str(server.folder / "host_key.pub")
        subprocess.run([*keygen, "-s", str(key), "-I", "id", *options, public], check=True)
        server._settings = f"HostCertificate {server.folder}/host_key-cert.pub"
        server.restart()
        return Certified(client, server, key, tmp_path)

    return made


@pytest.mark.parametrize(
    ("authority", "host"), [("ed25519", "ed25519"), ("rsa", "ecdsa"), ("ecdsa", "rsa")]
)
def test_a_host_with_a_valid_certificate_is_trusted(sign: Sign, authority: str, host: str) -> None:
    certified = sign(authority=authority, host=host)
    facts = certified.trust(certified.line)
    assert facts["host_key_trust"] == "certified"
    assert facts["host_key"] == certified.server.host_key_fingerprint


def test_an_authority_may_be_for_the_host_with_its_port_and_for_patterns(sign: Sign) -> None:
    certified = sign("-h", "-n", "gpu1,127.0.0.*", "-V", "always:forever")
    port = certified.server.port
    for names in (f"[127.0.0.1]:{port}", "127.0.*", "*"):
        line = f"@cert-authority {names} {certified.authority}"
        assert certified.trust(line)["host_key_trust"] == "certified"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("-h", "-n", "gpu2"), "it is for gpu2"),
        (("-h",), "it is for no host"),
        (("-h", "-n", "127.0.0.1", "-V", "20200101:20200102"), "it has expired on 2020-01-02"),
        (("-h", "-n", "127.0.0.1", "-V", "+1d:+2d"), "it is not valid before"),
        (("-h", "-n", "127.0.0.1", "-O", "critical:force=1"), "critical options: force"),
    ],
    ids=["another host", "no host", "expired", "not yet", "critical option"],
)
def test_a_certificate_that_is_not_valid_is_refused_and_says_why(
    sign: Sign, options: tuple[str, ...], why: str
) -> None:
    certified = sign(*options)
    with pytest.raises(HostKeyError, match=why):
        certified.trust(certified.line)


def test_the_certificate_of_an_unknown_authority_counts_for_nothing(sign: Sign) -> None:
    certified = sign()
    other = certified.server.host_key
    with pytest.raises(HostKeyError, match="is not known"):
        certified.trust(f"@cert-authority * {other}")
    plain = certified.server.known_hosts_file.read_text().strip()
    assert certified.trust(plain, f"@cert-authority * {other}")["host_key_trust"] == "known"


def test_an_authority_of_other_hosts_counts_for_nothing(sign: Sign) -> None:
    certified = sign()
    with pytest.raises(HostKeyError, match="is not known"):
        certified.trust(f"@cert-authority gpu2 {certified.authority}")


@pytest.mark.parametrize("revoked", ["authority", "host_key"])
def test_a_revoked_authority_or_key_is_fatal(sign: Sign, revoked: str) -> None:
    certified = sign()
    key = certified.authority if revoked == "authority" else certified.server.host_key
    with pytest.raises(HostKeyError, match="revoked"):
        certified.trust(certified.line, f"@revoked * {key}")


def test_a_certificate_signed_with_sha1_is_refused(sign: Sign) -> None:
    certified = sign("-h", "-n", "127.0.0.1", "-t", "ssh-rsa", authority="rsa")
    with pytest.raises(HostKeyError, match="SHA-1"):
        certified.trust(certified.line)
