"""Whether a machine is the rented pod: its SSH server answers, its host key and nonce agree."""

from __future__ import annotations

import secrets
import socket
from itertools import islice

from pytest_wf.config.keys import prefix_of
from pytest_wf.errors import OperationFailed, Unreachable
from pytest_wf.pods.rental.journal import Journal, Rental, this_process
from pytest_wf.pods.ssh.config import Address
from pytest_wf.pods.ssh.connection import SshConnection

#: A file that is left on a pod at the first connection; a machine without it is another one.
_NONCE = '"$HOME/.pytest-wf-pod"'
_READ_NONCE = ("sh", "-c", f"cat {_NONCE} 2>/dev/null || true")
_LEAVE_NONCE = ("sh", "-c", f"umask 077 && cat > {_NONCE}.new && mv {_NONCE}.new {_NONCE}")

#: A server may send lines of its own before it speaks SSH (RFC 4253, section 4.2).
_MAX_LINES, _MAX_LINE_BYTES = 100, 1024


def check_identity(rental: Rental, connection: SshConnection) -> None:
    """Id, host key and nonce must agree; before the first connection nothing is known of them."""
    shown = connection.facts()["host_key"]
    if rental.host_key and rental.host_key != shown:
        raise OperationFailed(
            "target-changed",
            f"{rental.name} showed the host key {rental.host_key} when it was rented, and "
            f"{shown} now.",
            "It is another machine. Look at `wf pod-list`.",
        )
    if not rental.nonce:
        return
    # the login's start-up files may print before it
    found = connection.run(_READ_NONCE, timeout_s=30).stdout.strip()[-len(rental.nonce) :]
    if not secrets.compare_digest(found.encode(), rental.nonce.encode()):
        raise OperationFailed(
            "target-changed",
            f"{rental.name} ({rental.pod_id}) has the right id and host key, but lacks what was "
            "left on it: it was recreated.",
            f"What ran there is lost. Empty {prefix_of(connection.target.transport)}TARGET to rent "
            "another pod, or delete this one.",
        )


def record_connection(journal: Journal, rental: Rental, connection: SshConnection) -> None:
    """Record who works with the pod; at the first connection its host key and a nonce, too."""
    changes: dict[str, object] = {"owner": this_process(rental.used_by)}
    if not rental.nonce:
        nonce = secrets.token_hex(16)
        left = connection.run(_LEAVE_NONCE, stdin=nonce.encode(), timeout_s=30)
        changes["host_key"] = connection.facts()["host_key"]
        changes["nonce"] = nonce if left.ok else ""
    journal.update(rental, **changes)


def await_banner(address: Address, timeout_s: float) -> None:
    """Require the banner of an SSH server, which a running pod may lack for some seconds."""
    place = (address.host, address.port)
    try:
        with socket.create_connection(place, timeout_s) as sock, sock.makefile("rb") as said:
            lines = iter(lambda: said.readline(_MAX_LINE_BYTES), b"")
            is_ssh = any(line.startswith(b"SSH-") for line in islice(lines, _MAX_LINES))
    except OSError as e:
        raise Unreachable(
            f"no SSH server answers at {address.place} yet: {e.strerror or e}.",
            "A rented pod may need a minute; POD_WAIT_MAX_SECS is the time that it has.",
        ) from e
    if not is_ssh:
        raise Unreachable(
            f"{address.place} answers, but not as an SSH server.", "Wait, or look at `wf pod-list`."
        )
