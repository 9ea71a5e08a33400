"""Signatures in a Dead Simple Signing Envelope (DSSE v1.0), with one Ed25519 key.

An envelope is parsed strictly: only the canonical text of a payload and signature is accepted,
so no byte of it can be changed unnoticed.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pytest_wf.wire.files import BadJson, canonical_json, parse_json, pretty_json, sha256_bytes

#: Payload types: a flow's summary and its record of views, byte for byte; an in-toto statement.
START_TYPE = "application/vnd.pytest-wf.flow-start+json"
SUMMARY_TYPE = "application/vnd.pytest-wf.flow-summary+json"
VIEWS_TYPE = "application/vnd.pytest-wf.flow-views+json"
IN_TOTO = "application/vnd.in-toto+json"

_MAX_BYTES = 512 * 1024 * 1024


class BadSignature(ValueError):
    """Not a valid envelope, or not signed by the key."""


def key_id_of(key: Ed25519PublicKey) -> str:
    """The id of a key as securesystemslib computes it: SHA-256 of its canonical JSON."""
    keyval = {"public": raw_of(key).hex()}
    return sha256_bytes(
        canonical_json({"keytype": "ed25519", "keyval": keyval, "scheme": "ed25519"})
    )


def raw_of(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    return key.public_bytes_raw()


def sealed(payload: bytes, payload_type: str, key: Ed25519PrivateKey) -> bytes:
    """The envelope of `payload`, signed with `key`, as the bytes of its file."""
    signature = key.sign(_pae(payload_type, payload))
    return _text(payload, payload_type, key_id_of(key.public_key()), signature)


def opened(raw: bytes, payload_type: str, key: Ed25519PublicKey) -> bytes:
    """The payload of the envelope `raw`. Raises BadSignature if it is not signed by `key`."""
    value = _parsed(raw)
    payload, signature = _bytes(value["payload"]), _bytes(value["signatures"][0]["sig"])
    key_id = signer_of(raw)
    if key_id != key_id_of(key):
        raise BadSignature(f"it names key {key_id}, not {key_id_of(key)}")
    if _text(payload, payload_type, key_id, signature) != raw:
        raise BadSignature("it is not the canonical form of an envelope")
    try:
        key.verify(signature, _pae(payload_type, payload))
    except InvalidSignature:
        raise BadSignature("its signature is not that of its content") from None
    return payload


def signer_of(raw: bytes) -> str:
    """The key id that an envelope names; it proves nothing. Raises BadSignature."""
    key_id = _parsed(raw)["signatures"][0].get("keyid")
    if not isinstance(key_id, str) or len(key_id) != 64 or not key_id.isalnum():
        raise BadSignature("it names no key")
    return key_id


def _text(payload: bytes, payload_type: str, key_id: str, signature: bytes) -> bytes:
    return pretty_json(
        {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": payload_type,
            "signatures": [{"keyid": key_id, "sig": base64.b64encode(signature).decode("ascii")}],
        }
    )


def _pae(payload_type: str, payload: bytes) -> bytes:
    """The signed bytes: DSSE's pre-authentication encoding."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        value = parse_json(raw, _MAX_BYTES)
        signatures = value["signatures"]
        if len(signatures) != 1 or not isinstance(signatures[0], dict):
            raise BadSignature("it has not exactly one signature")
        for field in (value["payload"], signatures[0]["sig"]):
            if not isinstance(field, str):
                raise TypeError
    except (BadJson, KeyError, TypeError):
        raise BadSignature("it is not a DSSE envelope") from None
    return dict(value)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadSignature("its base64 is broken") from None
