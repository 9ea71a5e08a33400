"""Opens an SSH connection: dial, negotiate, verify the host, authenticate.

The socket and the transport are set up by us. paramiko's keepalive awaits no answer and does
not notice a half-open link; TCP_USER_TIMEOUT and the kernel's keepalive do.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_wf.errors import AuthenticationError, TransportError, Unreachable
from pytest_wf.pods.base import Target
from pytest_wf.pods.ssh.config import Address
from pytest_wf.pods.ssh.connection import SshConnection
from pytest_wf.pods.ssh.handshake import BoundedSocket, negotiate, quoted, suite
from pytest_wf.pods.ssh.key_pairs import Offer, offered_keys
from pytest_wf.pods.ssh.known_hosts import HostKey, KnownHosts, check_pin, known_name

if TYPE_CHECKING:
    import paramiko

    from pytest_wf.config.keys import Config

#: Seconds after which a link is dead if sent data was not acknowledged.
USER_TIMEOUT_S = 20


def project_known_hosts(project_dir: str) -> str:
    """The project's own known_hosts file, the only one that is ever written."""
    return str(Path(project_dir, "flows", "known_hosts"))


@dataclass(frozen=True)
class SshSettings:
    """What a connection is made with besides its address."""

    config: Config
    project_dir: str
    #: The home directory whose `.ssh` is read.
    home: str
    #: Whether a host key that is accepted for the first time is written to known_hosts.
    record_host_key: bool = True
    #: Whether the last host's first key is accepted whatever SSH_HOST_KEY_POLICY says: for a
    #: pod that this project rented, under a `key_alias` that is its id.
    accept_first_key: bool = False

    def known_hosts(self) -> KnownHosts:
        """The user's known_hosts file and the project's own."""
        theirs = self.local_path(self.config.ssh_known_hosts or "~/.ssh/known_hosts")
        return KnownHosts([theirs, project_known_hosts(self.project_dir)])

    def named_key(self, hop: Address, last: Address) -> str:
        """The key file of SSH_IDENTITY_FILE, if it is for `hop` on the way to `last`; else ''."""
        named = self.local_path(self.config.ssh_identity_file)
        return named if hop is last or not hop.identity_files else ""

    def local_path(self, written: str) -> str:
        """A path of the config: below `~`, absolute, or relative to the project."""
        if not written:
            return ""
        if written.startswith("~/"):
            return self.home + written[1:]
        return str(Path(self.project_dir, written))


def open_connection(
    target: Target,
    address: Address,
    settings: SshSettings,
    more_facts: Mapping[str, str] | None = None,
) -> SshConnection:
    """Connect to `address`, through its jump hosts, within SSH_CONNECT_TIMEOUT_SECS.

    Each host's key is verified. `more_facts` join those of the connection. Raises
    Unreachable, HostKeyError, AuthenticationError.
    """
    transports, facts = _connect(address, settings)

    def another() -> list[paramiko.Transport]:
        # whatever the policy on new keys is: only the host that was verified is accepted
        pinned = replace(settings.config, ssh_host_fingerprint=facts["host_key"])
        return _connect(address, replace(settings, config=pinned))[0]

    return SshConnection(target, str(address), transports, {**(more_facts or {}), **facts}, another)


def _connect(
    address: Address, settings: SshSettings
) -> tuple[list[paramiko.Transport], dict[str, str]]:
    """The transports to `address`, the last one its own, and the facts of that."""
    config = settings.config
    end = time.monotonic() + config.ssh_connect_timeout_secs
    known = settings.known_hosts()
    transports: list[paramiko.Transport] = []
    facts = {"address": str(address)}
    try:
        for hop in (*address.jumps, address):
            last = hop is address
            identity = settings.named_key(hop, address)
            sock = _through(transports[-1], hop, end) if transports else _dial(hop, end)
            name = hop.key_alias or known_name(hop.host, hop.port)
            transport, bounded = negotiate(
                sock, hop, known.types(name), end, certified=known.has_authority(hop)
            )
            transports.append(transport)
            key, trust = _verify(transport, hop, known, settings, last)
            bounded.unbound()
            with offered_keys(hop, identity, settings.home) as offer:
                origin = _authenticate(transport, bounded, hop, offer, end)
            if config.ssh_keepalive_secs:
                transport.set_keepalive(config.ssh_keepalive_secs)
            facts |= {"host_key": key.fingerprint, "host_key_type": key.type, "key": origin}
            facts |= {"host_key_trust": trust, "server": transport.remote_version}
            facts |= suite(transport)
    except BaseException:
        for transport in reversed(transports):
            transport.close()
        raise
    if address.jumps:
        facts["through"] = ", ".join(map(str, address.jumps))
    return transports, facts


def demand_direct(hop: Address) -> None:
    """Raise Unreachable if the ssh config asks for a ProxyCommand."""
    if hop.proxy_command:
        raise Unreachable(
            f"the ssh config reaches {hop} by a ProxyCommand, which is not supported.",
            "Use ProxyJump instead, or name an address that can be reached directly.",
        )


def _dial(hop: Address, end: float) -> socket.socket:
    demand_direct(hop)
    try:
        found = socket.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM)
    except OSError as e:
        raise Unreachable(
            f"the host name of {hop} cannot be resolved: {e.strerror or e}.",
            "Check OPS_DEFAULT_HOST and the HostName in ~/.ssh/config.",
        ) from e
    problem = OSError("no address")
    for left, (family, kind, protocol, _, place) in zip(
        range(len(found), 0, -1), found, strict=True
    ):
        sock = socket.socket(family, kind, protocol)
        try:
            _tune(sock)
            # a silent address, such as one of a broken IPv6, leaves time for the others
            sock.settimeout(max(0.1, (end - time.monotonic()) / left))
            sock.connect(place)
            return sock
        except OSError as e:
            sock.close()
            problem = e
    raise Unreachable(
        f"no connection to {hop}: {problem.strerror or problem}.",
        "Check that the machine runs, and its host and port.",
    ) from problem


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # an idle link is probed every 5 s, so that its death is noticed within USER_TIMEOUT_S too
    for option, value in (
        ("TCP_KEEPIDLE", 5),
        ("TCP_KEEPALIVE", 5),  # the same on macOS
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", USER_TIMEOUT_S // 5),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_S * 1000),
    ):
        number = getattr(socket, option, None)
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)


def _through(jump: paramiko.Transport, hop: Address, end: float) -> paramiko.Channel:
    from pytest_wf.pods.ssh.library import paramiko

    try:
        return jump.open_channel(
            "direct-tcpip",
            (hop.host, hop.port),
            ("127.0.0.1", 0),
            timeout=max(0.1, end - time.monotonic()),
        )
    except (paramiko.SSHException, EOFError, OSError) as e:
        raise Unreachable(
            f"the jump host gives no connection to {hop}: {e}.",
            "Check the ProxyJump, and that the jump host may reach that host and port.",
        ) from e


def _verify(
    transport: paramiko.Transport,
    hop: Address,
    known: KnownHosts,
    settings: SshSettings,
    last: bool,
) -> tuple[HostKey, str]:
    """The host's key and why it is trusted.

    'pinned', 'certified', 'known', 'recorded' or 'unrecorded'.
    """
    pin = settings.config.ssh_host_fingerprint if last else ""
    accepts_new = settings.config.ssh_host_key_policy == "accept-new"
    shown = transport.get_remote_server_key()
    key = HostKey(shown.get_name(), shown.asbytes())
    name = hop.key_alias or known_name(hop.host, hop.port)
    if pin:
        known.refuse_revoked(name, key, hop.place)
        check_pin(key, pin, hop.place)
        return key, "pinned"
    certificate = shown.public_blob
    if certificate is not None and known.certifies(certificate.key_blob, key, hop):
        return key, "certified"
    if known.knows(name, key, hop.place):
        return key, "known"
    if not accepts_new and not (last and settings.accept_first_key):
        raise known.refuse_unknown(name, key, hop.place)
    if not settings.record_host_key:
        return key, "unrecorded"
    try:
        known.record(name, key, hop.place)
    except OSError as e:
        raise TransportError(
            f"the host key of {hop.place} cannot be recorded in {known.own_path}: {e.strerror}.",
            "Make that directory writable, or pin the key with SSH_HOST_FINGERPRINT.",
        ) from e
    return key, "recorded"


def _authenticate(
    transport: paramiko.Transport,
    bounded: BoundedSocket,
    hop: Address,
    offer: Offer,
    end: float,
) -> str:
    """Offer our keys in turn. Returns the origin of the accepted one."""
    from pytest_wf.pods.ssh.library import paramiko

    refused: list[str] = []
    for origin, key in offer.keys:
        transport.auth_timeout = max(0.1, end - time.monotonic())
        try:
            further = transport.auth_publickey(hop.user, key)
        except paramiko.BadAuthenticationType as e:
            raise AuthenticationError(
                f"{hop} takes no keys, only: {', '.join(e.allowed_types) or 'nothing'}.",
                "Allow PubkeyAuthentication in its sshd_config; passwords are never used.",
            ) from e
        except (paramiko.SSHException, EOFError, OSError) as e:
            refused.append(origin)
            if transport.is_active() and time.monotonic() < end:
                continue
            if transport.is_active() or not (bounded.farewell or refused[1:]):
                raise Unreachable(
                    f"{hop} went silent while the key was offered: {e}",
                    "Try again; SSH_CONNECT_TIMEOUT_SECS is the time that it has.",
                ) from e
            break
        if further:
            raise AuthenticationError(
                f"{hop} wants more than a key: {', '.join(further)}.",
                "A flow runs unattended; use a login for which a key is enough.",
            )
        return origin
    banner = (transport.get_banner() or b"").decode("utf-8", "replace")
    said = quoted(banner, bounded.farewell)
    sentences = [
        f"{hop} refused every key that was offered: {', '.join(refused)}.",
        *offer.passed_over,
        *([f"It said: {said}."] if said else []),
    ]
    raise AuthenticationError(
        " ".join(sentences),
        "Add the public key to ~/.ssh/authorized_keys there, or name the right key in "
        "SSH_IDENTITY_FILE.",
    )
