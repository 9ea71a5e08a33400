"""The keys that a connection offers: a named file, the ssh config's, or agent and defaults.

Never a password, never a question on the terminal: a key behind a passphrase is used through
the agent or not at all.
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_wf.errors import AuthenticationError
from pytest_wf.pods.ssh.config import Address

if TYPE_CHECKING:
    import paramiko

#: sshd ends the connection after six refused keys; more are not offered.
_MAX_KEYS = 5

_DEFAULT_FILES = ("id_ed25519", "id_ecdsa", "id_rsa")


class Offer:
    """Keys to try in order, and why others are not among them."""

    def __init__(self) -> None:
        #: Where each key is from, and the key.
        self.keys: list[tuple[str, paramiko.PKey]] = []
        #: One sentence for each key file that could not be used.
        self.passed_over: list[str] = []

    def add(self, origin: str, key: paramiko.PKey) -> None:
        """Add `key` unless it is there already, or there are enough."""
        if len(self.keys) < _MAX_KEYS and all(k.asbytes() != key.asbytes() for _, k in self.keys):
            self.keys.append((origin, key))


@contextmanager
def offered_keys(address: Address, identity_file: str, home: str) -> Iterator[Offer]:
    """The keys for `address`; the agent stays connected inside the block.

    `identity_file` is the one that the config names, or ''; if named, it is the only key. Raises
    AuthenticationError for a named file that is missing, open to others or behind a passphrase that
    the agent does not know, and if there is no key at all.
    """
    from pytest_wf.pods.ssh.library import paramiko

    agent = paramiko.Agent()
    try:
        offer = Offer()
        agent_keys = list(agent.get_keys())
        if identity_file:
            _add_file(offer, identity_file, agent_keys, must=True)
        else:
            _add_found(offer, address, agent_keys, home)
        if not offer.keys:
            raise AuthenticationError(
                f"there is no key to offer to {address}. " + " ".join(offer.passed_over),
                "Name one in SSH_IDENTITY_FILE, or load it into the ssh agent.",
            )
        yield offer
    finally:
        agent.close()


def _add_found(
    offer: Offer, address: Address, agent_keys: list[paramiko.AgentKey], home: str
) -> None:
    for path in address.identity_files:
        if Path(path).exists():
            _add_file(offer, path, agent_keys, must=False)
    if offer.keys:
        return
    for key in agent_keys:
        offer.add("ssh agent", key)
    for name in _DEFAULT_FILES:
        default = Path(home, ".ssh", name)
        if default.exists():
            _add_file(offer, str(default), agent_keys, must=False)


def _add_file(offer: Offer, path: str, agent_keys: list[paramiko.AgentKey], *, must: bool) -> None:
    try:
        offer.add(path, _load(path, agent_keys))
    except AuthenticationError as e:
        if must:
            raise
        offer.passed_over.append(e.message)


def _load(path: str, agent_keys: list[paramiko.AgentKey]) -> paramiko.PKey:
    from pytest_wf.pods.ssh.library import paramiko

    try:
        found = Path(path).stat()
        raw = Path(path).read_bytes()
    except OSError as e:
        raise AuthenticationError(
            f"the key file {path} cannot be read: {e.strerror}.",
            "Correct SSH_IDENTITY_FILE, or make a key with ssh-keygen -t ed25519.",
        ) from e
    if found.st_mode & 0o077 and found.st_uid == os.getuid():
        raise AuthenticationError(
            f"the key file {path} is open to others (mode {found.st_mode & 0o777:04o}).",
            f"Run: chmod 600 {path}",
        )
    try:
        return paramiko.PKey.from_path(path)
    except (TypeError, paramiko.PasswordRequiredException) as e:
        # cryptography raises TypeError for a missing passphrase
        public = _public_part(path, raw)
        for key in agent_keys:
            if public and key.asbytes() == public:
                return key
        raise AuthenticationError(
            f"the key file {path} is behind a passphrase, and the ssh agent does not have it.",
            f"Run: ssh-add {path}",
        ) from e
    except (paramiko.SSHException, ValueError, OSError, paramiko.pkey.UnknownKeyType) as e:
        raise AuthenticationError(
            f"the key file {path} is not a usable private key: {e}",
            "Ed25519, ECDSA and RSA keys can; the public key (.pub) belongs on the pod.",
        ) from e


def _public_part(path: str, raw: bytes) -> bytes:
    """The public key of an encrypted key file, b'' if it cannot be read."""
    try:
        return base64.b64decode(Path(path + ".pub").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        body = b"".join(line for line in raw.split(b"\n") if not line.startswith(b"-"))
        blob = base64.b64decode(body)
        magic = b"openssh-key-v1\0"
        if not blob.startswith(magic):
            return b""
        fields, rest = [], blob[len(magic) :]
        for skip in (0, 0, 0, 4):  # cipher, KDF, its options; a count precedes the key
            size = struct.unpack(">I", rest[skip : skip + 4])[0]
            fields.append(rest[skip + 4 : skip + 4 + size])
            rest = rest[skip + 4 + size :]
        return fields[-1]
    except (binascii.Error, struct.error):
        return b""
