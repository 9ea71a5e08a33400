"""A signed flow: what its key signed is held against what lies in the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.evidence import chain
from pytest_wf.evidence.signing import SigningKey, make_key, read_public_key
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.evidence.verify import verify_flow
from pytest_wf.wire.files import parse_json
from pytest_wf.wire.redact import Redactor
from tests.support import forger
from tests.support import good_flow as good

SIGNED_ELSE = f"compared to the summary in {chain.SIGNATURE}"


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    """The signer's key; key.pem.pub is the file of its public half."""
    return make_key(tmp_path / "key.pem")[0]


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    """A flow that has begun, and has one file beside its records."""
    store = EvidenceStore(tmp_path / "flows", good.FLOW, Redactor())
    store.write_start(good.start())
    store.attach("a.log", b"all well\n")
    return store


@pytest.fixture
def flow(store: EvidenceStore, key: SigningKey) -> Path:
    """That flow closed, and signed."""
    good.close(store)
    forger.reclose(store.dir, key=key)
    return store.dir


def findings(flow: Path) -> list[str]:
    """What verification with the signer's public key finds."""
    public = read_public_key(flow.parent.parent / "key.pem.pub")
    return verify_flow(flow, public_key=public).findings


def test_a_signed_flow_is_ok_by_a_given_key_and_by_the_one_that_it_names(
    flow: Path, key: SigningKey
) -> None:
    assert findings(flow) == []
    result = verify_flow(flow)
    assert (result.ok, result.key_id) == (True, key.signer.key_id)


def _sign_with_another_key(flow: Path) -> None:
    forger.reclose(flow, key=make_key(flow.parent / "other.pem")[0])


def _edit(flow: Path) -> None:
    (flow / "a.log").write_text("all ill\n")
    forger.reclose(flow, keep=True)


def _add(flow: Path) -> None:
    (flow / "b.log").write_text("more\n")
    forger.reclose(flow, keep=True)


def _remove(flow: Path) -> None:
    (flow / "a.log").unlink()
    forger.reclose(flow, keep=True)


@pytest.mark.parametrize(
    ("spoil", "lines"),
    [
        (
            lambda flow: (flow / chain.SIGNATURE).unlink(),
            [f"{chain.SIGNATURE}: removed"],
        ),
        (forger.reclose, [f"{chain.SIGNATURE}: removed: the flow is not signed"]),
        (_sign_with_another_key, [f"{chain.SIGNATURE}: changed: it names key"]),
        (
            _edit,
            [f"{chain.SUMMARY}: changed: it is not the content", f"a.log: changed: {SIGNED_ELSE}"],
        ),
        (
            _add,
            [f"{chain.SUMMARY}: changed: it is not the content", f"b.log: added: {SIGNED_ELSE}"],
        ),
        (
            _remove,
            [f"{chain.SUMMARY}: changed: it is not the content", f"a.log: removed: {SIGNED_ELSE}"],
        ),
    ],
    ids=["no signature", "unsigned", "another key", "edited", "added", "removed"],
)
def test_what_the_key_did_not_sign_is_named(
    flow: Path, spoil: Callable[[Path], object], lines: list[str]
) -> None:
    spoil(flow)
    found = findings(flow)
    assert len(found) == len(lines)
    assert all(one.startswith(line) for one, line in zip(found, lines, strict=True))


def test_of_a_flow_that_has_not_ended_no_signature_is_missed(
    store: EvidenceStore, key: SigningKey
) -> None:
    store.events.begin("flow", {})
    assert [line.split(":")[0] for line in findings(store.dir)] == [chain.SUMMARY]


def test_a_signer_without_a_key_is_a_finding(flow: Path) -> None:
    summary = parse_json((flow / chain.SUMMARY).read_bytes())
    forger.write(flow / chain.SUMMARY, {**summary, "signed_by": {"key_id": "k"}})
    result = verify_flow(flow)
    assert result.findings == [f"{chain.SUMMARY}: inconsistent: signed_by names no key"]
    assert (result.ok, result.key_id) == (False, "")
    assert findings(flow)[0].startswith(f"{chain.SUMMARY}: changed")
