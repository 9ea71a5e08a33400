"""Which host keys are trusted, and the rules for a key that is not.

The files are those of OpenSSH, read line by line so that one malformed line does no harm: plain,
hashed and `[host]:port` names, wildcards, `@revoked`, `@cert-authority`. Only the project's own
file is written.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_wf.errors import HostKeyError
from pytest_wf.pods.ssh.config import Address
from pytest_wf.pods.ssh.host_certificate import authority_of, check_certificate
from pytest_wf.wire.files import read_bytes, write_atomic

_AUTHORITY = "@cert-authority"


@dataclass(frozen=True)
class HostKey:
    """A public host key: its type as OpenSSH names it, and its bytes."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` as OpenSSH prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii")
        return "SHA256:" + digest.rstrip("=")

    def line(self, name: str) -> str:
        """The known_hosts line that trusts this key for `name`."""
        return f"{name} {self.type} {base64.b64encode(self.blob).decode('ascii')}"

    def __str__(self) -> str:
        return f"{self.type} {self.fingerprint}"


@dataclass(frozen=True)
class _Entry:
    path: str
    number: int
    #: '', '@revoked' or '@cert-authority'.
    marker: str
    names: str
    key: HostKey

    @property
    def place(self) -> str:
        return f"{self.path}:{self.number}"

    def is_revoked(self, key: HostKey) -> bool:
        """Whether the line revokes `key`."""
        return self.marker == "@revoked" and self.key.blob == key.blob

    def is_for(self, name: str) -> bool:
        matched = False
        for pattern in self.names.split(","):
            if pattern.startswith("|"):
                matched = matched or _hash_matches(pattern, name)
            elif pattern.startswith("!"):
                if _pattern_matches(pattern[1:], name):
                    return False
            else:
                matched = matched or _pattern_matches(pattern, name)
        return matched


def known_name(host: str, port: int) -> str:
    """The name of a host in known_hosts: the bare name on port 22, else `[name]:port`."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def _names(hop: Address) -> tuple[str, str]:
    """The names of a host on lines of authorities; as in OpenSSH also without its port."""
    return hop.key_alias or known_name(hop.host, hop.port), hop.key_alias or hop.host.lower()


def check_pin(key: HostKey, pin: str, host: str) -> None:
    """Compare `key` with the fingerprint that the config pins. Raises HostKeyError."""
    if not hmac.compare_digest(key.fingerprint, pin.rstrip("=")):
        raise HostKeyError(
            f"{host} is not the pinned host: its key is {key}, SSH_HOST_FINGERPRINT says {pin}.",
            "Ask your provider for the fingerprint. If the machine was reinstalled, set "
            f"SSH_HOST_FINGERPRINT={key.fingerprint}; if not, the connection may be intercepted.",
        )


class KnownHosts:
    """The trusted keys of `paths`, the last of which is the project's own file.

    Files are read for each query, never cached: another flow may have added a key.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self.own_path = paths[-1]

    def types(self, name: str) -> list[str]:
        """The known key types for `name`, so that the host can be asked for one of them."""
        found = [e.key.type for e in self._entries() if not e.marker and e.is_for(name)]
        return list(dict.fromkeys(found))

    def refuse_revoked(self, name: str, key: HostKey, host: str) -> None:
        """Raise HostKeyError if `key` is marked as revoked for `name`."""
        for entry in self._entries():
            if entry.is_revoked(key) and entry.is_for(name):
                raise HostKeyError(
                    f"the host key of {host} is revoked ({entry.place}): {key}.",
                    "Do not use this machine; rent another, or give it a new host key.",
                )

    def has_authority(self, hop: Address) -> bool:
        """Whether an authority may certify the keys of `hop`."""
        return any(self._authorities(hop))

    def certifies(self, certificate: bytes, key: HostKey, hop: Address) -> bool:
        """Whether an authority that is known for `hop` signed the certificate of its `key`.

        Raises HostKeyError if it is not valid, or one of the two keys is revoked.
        """
        authority = HostKey("certificate authority", authority_of(certificate))
        for revocable in (key, authority):
            for name in _names(hop):
                self.refuse_revoked(name, revocable, hop.place)
        if all(entry.key.blob != authority.blob for entry in self._authorities(hop)):
            return False
        host = hop.key_alias or hop.host.lower()
        check_certificate(certificate, host, hop.place, _pattern_matches)
        return True

    def knows(self, name: str, key: HostKey, host: str) -> bool:
        """Whether `key` is known for `name`; False if no key is known for it.

        Raises HostKeyError for a revoked key, and if other keys are known but not this one, also
        when they are of another type: a changed key is always fatal.
        """
        self.refuse_revoked(name, key, host)
        known = [e for e in self._entries() if not e.marker and e.is_for(name)]
        if any(entry.key == key for entry in known):
            return True
        if not known:
            return False
        entry = next((e for e in known if e.key.type == key.type), known[0])
        raise HostKeyError(
            f"the host key of {host} has changed: {entry.key} is known ({entry.place}), "
            f"the host now shows {key}.",
            "Another machine may answer for it, or it was reinstalled. If you know that it "
            f"was, remove that line from {entry.path} and connect again.",
        )

    def refuse_unknown(self, name: str, key: HostKey, host: str) -> HostKeyError:
        """The error for an unknown host key, with the ways to accept it."""
        return HostKeyError(
            f"the host key of {host} is not known: {key}.",
            "Compare the fingerprint with the one that your provider shows. If they are the "
            f"same, set SSH_HOST_FINGERPRINT={key.fingerprint}, or add this line to "
            f"{self.own_path}:\n{key.line(name)}",
        )

    def record(self, name: str, key: HostKey, host: str) -> None:
        """Add the first key of `name` to the project's own file.

        This is done under a lock and after another check: of two flows that first connect to a host
        at the same time, one records its key and the other checks it. Raises HostKeyError, OSError.
        """
        with self._locked():
            if not self.knows(name, key, host):
                raw = self._own_bytes()
                if raw and not raw.endswith(b"\n"):
                    raw += b"\n"
                write_atomic(self.own_path, raw + key.line(name).encode() + b"\n", 0o600)

    def forget(self, name: str) -> bool:
        """Remove `name`'s lines from the project's own file, as its machine is gone.

        Returns whether there were any. Raises OSError.
        """
        with self._locked():
            gone = {e.number for e in _read(self.own_path) if not e.marker and e.is_for(name)}
            if gone:
                lines = self._own_bytes().splitlines(keepends=True)
                kept = [line for number, line in enumerate(lines, 1) if number not in gone]
                write_atomic(self.own_path, b"".join(kept), 0o600)
        return bool(gone)

    def _authorities(self, hop: Address) -> Iterator[_Entry]:
        for entry in self._entries():
            if entry.marker == _AUTHORITY and any(map(entry.is_for, _names(hop))):
                yield entry

    def _entries(self) -> Iterator[_Entry]:
        for path in self._paths:
            yield from _read(path)

    def _own_bytes(self) -> bytes:
        try:
            with open(self.own_path, "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # the directory itself is locked: the file is replaced, and a lock file would stay
        folder = Path(self.own_path).absolute().parent
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _read(path: str) -> Iterator[_Entry]:
    try:
        lines = read_bytes(path).splitlines()
    except FileNotFoundError:
        return
    except OSError as e:
        raise HostKeyError(
            f"{path} cannot be read: {e.strerror}.",
            "It holds the host keys that are known: restore it, or move it away and compare the "
            "keys anew.",
        ) from e
    for number, raw in enumerate(lines, 1):
        entry = _parse(path, number, raw.decode("utf-8", "replace").split())
        if entry is not None:
            yield entry


def _parse(path: str, number: int, words: list[str]) -> _Entry | None:
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker not in ("", "@revoked", _AUTHORITY) or len(words) < 3:
        return None
    names, type_, encoded = words[:3]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return _Entry(path, number, marker, names, HostKey(type_, blob))


def _hash_matches(pattern: str, name: str) -> bool:
    try:
        _, kind, salt, digest = pattern.split("|")
        if kind != "1":
            return False
        wanted = base64.b64decode(digest)
        # HMAC-SHA1 is the file's format; it hides names and protects nothing
        made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(made, wanted)


def _pattern_matches(pattern: str, name: str) -> bool:
    # OpenSSH knows * and ? only: the brackets of [host]:port are ordinary characters
    escaped = pattern.lower().replace("[", "[[]")
    return fnmatch.fnmatchcase(name, escaped)
