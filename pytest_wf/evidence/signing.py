"""Keys that sign evidence: created, read with checks, and used at a flow's end.

Only the controller signs; no key is ever sent to a pod.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pytest_wf.errors import InputError, Problem
from pytest_wf.evidence import chain, dsse
from pytest_wf.evidence.folder import parsed
from pytest_wf.evidence.records import Signer
from pytest_wf.wire import user
from pytest_wf.wire.files import sync_dir

#: The signed records, each with its envelope and the type of its payload.
SIGNED = {
    chain.START: (chain.START_SIGNATURE, dsse.START_TYPE),
    chain.SUMMARY: (chain.SIGNATURE, dsse.SUMMARY_TYPE),
    chain.VIEWS: (chain.VIEWS_SIGNATURE, dsse.VIEWS_TYPE),
}
_MAX_KEY_BYTES = 64 * 1024


@dataclass(frozen=True)
class SigningKey:
    """A private key, and the parts of it that may be shown."""

    signer: Signer
    _key: Ed25519PrivateKey = field(repr=False)

    def sign(self, payload: bytes, payload_type: str) -> bytes:
        """The DSSE envelope of `payload`, as the bytes of its file."""
        return dsse.sealed(payload, payload_type, self._key)


def default_place() -> Path:
    """The default path of `wf keygen` for a key."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(base) if base.startswith("/") else Path(user.home(), ".config")
    return home / "pytest-wf" / "signing-key.pem"


def make_key(path: Path) -> tuple[SigningKey, Path, str]:
    """Write a new private key to `path` (mode 600) and its public key beside it.

    Returns the key, the path of the public key, and its PEM text. Raises InputError if either file
    already exists: nothing more could be signed with a key that is overwritten.
    """
    public_path = path.with_name(path.name + ".pub")
    taken = [p for p in (path, public_path) if os.path.lexists(p)]
    if taken:
        remedy = "Name another file, or move the old key away."
        raise InputError(
            [_problem(str(p), "already exists; nothing was written.", remedy) for p in taken]
        )
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(path, private, 0o600)
    _write_new(public_path, public, 0o644)
    return _named(key), public_path, public.decode("ascii")


def read_signing_key(path: Path, origin: str = "", line: int | None = None) -> SigningKey:
    """The key in `path`. Raises InputError if it is not a private Ed25519 key of this user."""

    def refuse(reason: str, remedy: str) -> InputError:
        place = origin or str(path)
        return InputError([Problem(place, line, "WF_SIGNING_KEY_FILE", str(path), reason, remedy)])

    make = "Make one with `wf keygen`, or empty WF_SIGNING_KEY_FILE."
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            seen = os.fstat(fd)
            if not stat.S_ISREG(seen.st_mode):
                raise refuse("is not a regular file.", make)
            if stat.S_IMODE(seen.st_mode) & 0o077:
                mode = f"{stat.S_IMODE(seen.st_mode):o}"
                raise refuse(f"others may read it (mode {mode}).", f"Run `chmod 600 {path}`.")
            if seen.st_uid != os.geteuid():
                raise refuse("belongs to another user.", make)
            raw = os.read(fd, _MAX_KEY_BYTES)
        finally:
            os.close(fd)
    except OSError as e:
        raise refuse(f"cannot be read: {e.strerror}.", make) from None
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise refuse("is not a private key in PEM without a password.", make) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise refuse("is a key of another kind; evidence is signed with Ed25519.", make)
    return _named(key)


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key in `path`, as `wf keygen` wrote it. Raises InputError."""
    try:
        with open(path, "rb") as f:
            key = load_pem_public_key(f.read(_MAX_KEY_BYTES))
        if isinstance(key, Ed25519PublicKey):
            return key
        reason = "is a key of another kind than Ed25519."
    except OSError as e:
        reason = f"cannot be read: {e.strerror}."
    except (ValueError, UnsupportedAlgorithm):
        reason = "is not a public key in PEM."
    raise InputError([_problem(str(path), reason, "Name the .pub file that `wf keygen` wrote.")])


def signature_findings(
    documents: Mapping[str, bytes], name: str, key: Ed25519PublicKey
) -> list[chain.Finding]:
    """Findings in the signature by `key` of the record `name`, one of `SIGNED`."""
    envelope_name, payload_type = SIGNED[name]
    record, envelope = documents.get(name), documents.get(envelope_name)
    if record is None:
        return []  # a flow that has not ended is not signed, and not ok
    if envelope is None:
        said = "the flow is not signed, or was not by then"
        return [chain.Finding(envelope_name, "removed", said)]
    try:
        payload = dsse.opened(envelope, payload_type, key)
    except dsse.BadSignature as e:
        return [chain.Finding(envelope_name, "changed", str(e))]
    if payload != record:
        return [chain.Finding(name, "changed", f"it is not the content signed in {envelope_name}")]
    return []


def signed_summary(documents: Mapping[str, bytes], key: Ed25519PublicKey) -> dict[str, Any]:
    """The summary that `key` signed, whatever file is beside it; empty if there is none."""
    try:
        return parsed(dsse.opened(documents.get(chain.SIGNATURE, b""), dsse.SUMMARY_TYPE, key))
    except dsse.BadSignature:
        return {}


def own_key(summary: Mapping[str, Any]) -> Ed25519PublicKey | None:
    """The key that a summary names as its signer's; None if it names none.

    A valid signature by it shows that the summary was not changed, not who signed it.
    """
    try:
        stated = Signer.model_validate(summary["signed_by"])
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(stated.public_key))
    except (KeyError, ValueError):
        return None


def _named(key: Ed25519PrivateKey) -> SigningKey:
    public = key.public_key()
    signer = Signer(key_id=dsse.key_id_of(public), public_key=dsse.raw_of(public).hex())
    return SigningKey(signer, key)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as f:
        os.fchmod(f.fileno(), mode)
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    sync_dir(str(path.parent))


def _problem(place: str, reason: str, remedy: str) -> Problem:
    return Problem(place, None, "", None, reason, remedy)
