"""Host certificates: a host key signed by an authority that known_hosts names.

The rules are those of OpenSSH's client. A certificate of an unknown authority is ignored, and its
host key is checked like any other.
"""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_wf.errors import HostKeyError
from pytest_wf.wire.safe_text import readable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import SSHCertificate

#: The suffix of the type of a key with a certificate.
CERTIFIED = "-cert-v01@openssh.com"

_REMEDY = "Have the host's certificate reissued, or add its plain host key to known_hosts."


def authority_of(blob: bytes) -> bytes:
    """The key that signed the certificate `blob`. Raises HostKeyError if none can be read."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _parsed(blob).signature_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def check_certificate(
    blob: bytes, host: str, place: str, matches: Callable[[str, str], bool]
) -> None:
    """Raise HostKeyError unless the certificate `blob` is valid now for `host`.

    The caller has checked that its authority is trusted; `matches` compares a pattern with a host.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import SSHCertificateType

    certificate = _parsed(blob)
    principals = [raw.decode("utf-8", "replace") for raw in certificate.valid_principals]
    now = time.time()
    problem = ""
    try:
        certificate.verify_cert_signature()
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        problem = "its signature is wrong"
    if certificate.type is not SSHCertificateType.HOST:
        problem = "it is a user's, not a host's"
    elif _is_signed_with_sha1(blob):
        problem = "it is signed with SHA-1"
    elif certificate.critical_options:
        options = b", ".join(certificate.critical_options).decode("utf-8", "replace")
        problem = f"it has critical options: {options}"
    elif now < certificate.valid_after:
        problem = f"it is not valid before {_date(certificate.valid_after)}"
    elif now >= certificate.valid_before:
        problem = f"it has expired on {_date(certificate.valid_before)}"
    elif not any(matches(pattern, host) for pattern in principals):
        problem = f"it is for {', '.join(principals) or 'no host'}"
    if problem:
        raise HostKeyError(
            f"the host certificate of {place} is not accepted: {readable(problem)}.", _REMEDY
        )


def _parsed(blob: bytes) -> SSHCertificate:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        SSHCertificate,
        load_ssh_public_identity,
    )

    kind = blob[4 : 4 + struct.unpack(">I", blob[:4])[0]]
    try:
        found = load_ssh_public_identity(kind + b" " + base64.b64encode(blob))
    except (ValueError, UnsupportedAlgorithm) as e:
        raise HostKeyError(f"the host certificate cannot be read: {e}.", _REMEDY) from e
    if not isinstance(found, SSHCertificate):
        raise HostKeyError("the host shows no certificate, though it says so.", _REMEDY)
    return found


def _is_signed_with_sha1(blob: bytes) -> bool:
    """Whether the signature, the last field, is an RSA one over SHA-1."""
    _, mark, signature = blob.rpartition(struct.pack(">I", 7) + b"ssh-rsa")
    return bool(mark) and struct.pack(">I", len(signature) - 4) == signature[:4]


def _date(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return "a date too far away"
