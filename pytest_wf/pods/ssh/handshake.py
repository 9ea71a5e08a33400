"""The SSH handshake: what is offered, and how much is read from a host that is not known yet."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_wf.errors import Unreachable
from pytest_wf.pods.ssh.config import Address
from pytest_wf.pods.ssh.host_certificate import CERTIFIED
from pytest_wf.wire.safe_text import readable

if TYPE_CHECKING:
    import paramiko

#: Larger windows made bulk transfers slower, not faster.
WINDOW_BYTES = 1024 * 1024

#: In order of preference; what is not named here is not offered. GCM is the fastest by half,
#: CBC, MD5 and SHA-1 are left out.
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_MACS = (
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
)
_RSA = ("rsa-sha2-512", "rsa-sha2-256")

#: The most bytes that are read from a host before its key is checked; a key exchange takes some KB.
_MAX_UNKNOWN_BYTES = 256 * 1024
_QUOTED_CHARS = 300

#: paramiko logs, with its tracebacks, what we raise ourselves: neither stderr nor pytest's section
#: of captured logs shows that again.
_LOG = logging.getLogger("pytest_wf.ssh")
_LOG.setLevel(logging.CRITICAL + 1)


class BoundedSocket:
    """A socket that reads a bounded number of bytes until its host is known.

    paramiko buffers all data before a newline, or as many bytes as a packet announces.
    """

    def __init__(self, sock: socket.socket | paramiko.Channel) -> None:
        self._sock = sock
        self._count = 0
        self._said = b""
        #: Why the host ended the connection, as it says; '' if it has not.
        self.farewell = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """Read up to `size` bytes. Raises OSError if too much has arrived."""
        piece: bytes = self._sock.recv(size)
        self._count += len(piece)
        self._said = (self._said + piece)[: 4 * _QUOTED_CHARS]
        if self._count > _MAX_UNKNOWN_BYTES:
            raise OSError("it sends without end")
        return piece

    def unbound(self) -> None:
        """Remove the limit."""
        self.recv = self._sock.recv  # type: ignore[method-assign, assignment]

    def words(self) -> str:
        """What the host said before it spoke SSH, or when it ended that; '' for nothing."""
        return quoted(self._said.partition(b"SSH-")[0].decode("utf-8", "replace"), self.farewell)


def quoted(*said: str) -> str:
    """What a host said, in one line without control characters and without its full stop."""
    words = " ".join(readable(" ".join(said)).split())
    return words[:_QUOTED_CHARS].rstrip(".")


def negotiate(
    sock: socket.socket | paramiko.Channel,
    hop: Address,
    known: Sequence[str],
    end: float,
    *,
    certified: bool = False,
) -> tuple[paramiko.Transport, BoundedSocket]:
    """Exchange keys with `hop`, asking for a host key of the `known` types first.

    If it is `certified`, it is asked for one with a certificate before that. Its key still has to
    be checked. Raises Unreachable, before `end`.
    """
    from pytest_wf.pods.ssh.library import paramiko

    left = max(0.1, end - time.monotonic())
    bounded = BoundedSocket(sock)
    transport = paramiko.Transport(
        bounded,  # type: ignore[arg-type]
        default_window_size=WINDOW_BYTES,
        disabled_algorithms={"keys": ["ssh-rsa"], "pubkeys": ["ssh-rsa"]},
    )
    _keep_farewell(transport, bounded)
    transport.set_log_channel(_LOG.name)
    transport.banner_timeout = transport.handshake_timeout = left
    options = transport.get_security_options()
    options.ciphers = [c for c in _CIPHERS if c in options.ciphers]
    options.digests = [m for m in _MACS if m in options.digests]
    options.kex = [k for k in options.kex if not k.endswith("sha1")]
    types = _known_first(list(options.key_types), known)
    options.key_types = [t + CERTIFIED for t in types if certified] + types
    try:
        transport.start_client(timeout=left)
        transport.get_remote_server_key()
    except paramiko.ssh_exception.IncompatiblePeer as e:
        _give_up(transport, sock)
        raise Unreachable(
            f"{hop} and this machine have no algorithm in common: {e}.",
            "Update its OpenSSH: CBC, MD5 and SHA-1 are not offered.",
        ) from e
    except (paramiko.SSHException, EOFError, OSError) as e:
        _give_up(transport, sock)
        said = bounded.words()
        is_late = time.monotonic() >= end
        raise Unreachable(
            f"{hop} does not answer as an SSH server{' in time' * is_late}: {str(e) or 'closed'}"
            + (f"; it said: {said}." if said else "."),
            "Check the port, and that sshd runs there"
            + ("; SSH_CONNECT_TIMEOUT_SECS is the time." if is_late else "."),
        ) from e
    agreed = suite(transport)
    if agreed["strict_kex"] == "no" and "etm" in agreed["mac"] and "gcm" not in agreed["cipher"]:
        _give_up(transport, sock)
        raise Unreachable(
            f"{hop} negotiates a cipher whose first messages could be cut off unnoticed.",
            "Update its OpenSSH (strict key exchange), or allow aes128-gcm@openssh.com there.",
        )
    return transport, bounded


def suite(transport: paramiko.Transport) -> dict[str, str]:
    """What was negotiated. The attributes are public, and missing from paramiko's stubs."""
    agreed: Any = transport
    return {
        "cipher": agreed.remote_cipher,
        "mac": agreed.remote_mac,
        "strict_kex": "yes" if agreed.agreed_on_strict_kex else "no",
    }


def _keep_farewell(transport: paramiko.Transport, bounded: BoundedSocket) -> None:
    """Keep the reason that the host gives on disconnecting: paramiko only logs it."""

    def keep(message: paramiko.Message) -> None:
        message.get_int()
        bounded.farewell = message.get_text()

    opened: Any = transport  # the method is private; nothing public gives the reason
    opened._parse_disconnect = keep


def _give_up(transport: paramiko.Transport, sock: socket.socket | paramiko.Channel) -> None:
    transport.close()
    sock.close()


def _known_first(offered: list[str], known: Sequence[str]) -> list[str]:
    """Ask for a known key type first: otherwise a host with several would seem changed."""
    wanted: list[str] = []
    for kind in known:
        wanted += [t for t in (_RSA if kind == "ssh-rsa" else (kind,)) if t in offered]
    return wanted + [t for t in offered if t not in wanted]
