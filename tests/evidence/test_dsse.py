"""Our envelopes are DSSE to an implementation that is not ours, and every byte counts."""

from __future__ import annotations

import json
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from pytest_wf.evidence import dsse
from pytest_wf.wire.files import pretty_json

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()
PAYLOAD = '{"ok": true, "note": "ä"}\n'.encode()
RAW = dsse.sealed(PAYLOAD, dsse.SUMMARY_TYPE, KEY)


def test_securesystemslib_accepts_it_under_the_key_id_that_it_computes_itself() -> None:
    key = SSlibKey.from_crypto(PUBLIC)
    envelope = Envelope.from_dict(json.loads(RAW))
    assert envelope.verify([key], 1) == {key.keyid: key}
    assert (envelope.payload, envelope.payload_type) == (PAYLOAD, dsse.SUMMARY_TYPE)
    assert key.keyid == dsse.key_id_of(PUBLIC)


@pytest.mark.parametrize("field", ["payload", "payloadType", "sig"])
def test_securesystemslib_rejects_a_changed_one(field: str) -> None:
    value = json.loads(RAW)
    place = value["signatures"][0] if field == "sig" else value
    place[field] = ("A" if place[field][0] != "A" else "B") + place[field][1:]
    with pytest.raises(VerificationError):
        Envelope.from_dict(value).verify([SSlibKey.from_crypto(PUBLIC)], 1)


def test_an_envelope_of_securesystemslib_is_read_by_ours() -> None:
    signed = Envelope.from_dict(json.loads(RAW)).to_dict()
    assert dsse.opened(pretty_json(signed), dsse.SUMMARY_TYPE, PUBLIC) == PAYLOAD


def test_ours_opens_and_names_its_signer() -> None:
    assert dsse.opened(RAW, dsse.SUMMARY_TYPE, PUBLIC) == PAYLOAD
    assert dsse.signer_of(RAW) == dsse.key_id_of(PUBLIC)


def test_no_byte_of_an_envelope_can_be_changed() -> None:
    draw = random.Random(6)
    for at in range(len(RAW)):
        byte = draw.choice([b for b in range(256) if b != RAW[at]])
        with pytest.raises(dsse.BadSignature):
            dsse.opened(RAW[:at] + bytes([byte]) + RAW[at + 1 :], dsse.SUMMARY_TYPE, PUBLIC)


def test_another_key_or_another_kind_of_payload_is_refused() -> None:
    with pytest.raises(dsse.BadSignature, match="names key"):
        dsse.opened(RAW, dsse.SUMMARY_TYPE, Ed25519PrivateKey.generate().public_key())
    with pytest.raises(dsse.BadSignature):
        dsse.opened(RAW, dsse.IN_TOTO, PUBLIC)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b'{"payload": "", "payloadType": "x", "signatures": []}',
        b'{"payload": "", "payloadType": "x", "signatures": [1]}',
        b'{"payload": 1, "payloadType": "x", "signatures": [{"keyid": "", "sig": ""}]}',
        b'{"payload": "\\u00e4", "payloadType": "x", "signatures": [{"keyid": "", "sig": ""}]}',
    ],
)
def test_what_is_no_envelope_is_refused(raw: bytes) -> None:
    with pytest.raises(dsse.BadSignature):
        dsse.opened(raw, dsse.SUMMARY_TYPE, PUBLIC)
