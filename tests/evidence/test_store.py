"""The evidence store writes redacted, strict, atomic records and keeps the chain's head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.evidence import chain
from pytest_wf.evidence.store import NO_FILE, EvidenceStore
from pytest_wf.wire.files import pretty_json, sha256_bytes
from pytest_wf.wire.redact import MASK, Redactor
from tests.support import good_flow as good

SECRET = "hunter22-hunter22"


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path / "flows", good.FLOW, Redactor([SECRET]))


def test_a_record_is_written_under_its_name_with_the_digest_of_its_bytes(
    store: EvidenceStore,
) -> None:
    path, digest = store.write_evidence(good.evidence("P40"))
    assert path == store.path_of("P40", "evidence")
    assert path.name == "phase.P40.evidence.json"
    assert digest == sha256_bytes(path.read_bytes())
    assert json.loads(path.read_bytes())["phase_name"] == "BOOTSTRAP"


def test_secrets_never_reach_a_file(store: EvidenceStore) -> None:
    facts = {"env": {f"TOKEN={SECRET}": [SECRET]}}
    path, _ = store.write_evidence(good.evidence("P40", error=f"bad {SECRET}", facts=facts))
    assert SECRET not in path.read_text()
    assert json.loads(path.read_bytes())["error"] == f"bad {MASK}"


def test_what_strict_json_cannot_carry_is_written_as_text(store: EvidenceStore) -> None:
    facts = {"loss": float("nan"), "best": float("inf"), "log": "\ud800", "path": Path("/x")}
    path, _ = store.write_evidence(good.evidence("P40", facts=facts))
    written = json.loads(path.read_bytes())["facts"]
    assert (written["loss"], written["best"], written["path"]) == ("nan", "inf", "/x")
    assert written["log"] == "?"


def test_only_a_verdict_moves_the_head(store: EvidenceStore) -> None:
    store.write_start(good.start())
    store.write_evidence(good.evidence("P40"))
    store.write_deterministic(good.report("P40"))
    store.write_constitutional(good.answer("P40"))
    assert store.head is None
    _, digest = store.write_verdict(_verdict())
    assert store.head == digest


def test_a_sink_sees_each_record_redacted(tmp_path: Path) -> None:
    seen: list[tuple[str, Mapping[str, Any], Path]] = []
    store = EvidenceStore(
        tmp_path, good.FLOW, Redactor([SECRET]), lambda *record: seen.append(record)
    )
    store.write_start(good.start())
    store.write_evidence(good.evidence("P40", error=SECRET))
    assert [kind for kind, _, _ in seen] == ["start", "evidence"]
    assert seen[1][1]["error"] == MASK
    assert seen[1][2].is_file()


def test_a_sink_that_raises_does_not_lose_the_head(tmp_path: Path) -> None:
    def sink(kind: str, record: Mapping[str, Any], path: Path) -> None:
        raise RuntimeError("sink")

    store = EvidenceStore(tmp_path, good.FLOW, Redactor(), sink)
    with pytest.raises(RuntimeError):
        store.write_verdict(_verdict())
    assert store.head == sha256_bytes(store.path_of("P40", "verdict").read_bytes())


def test_the_summary_closes_the_chain_over_every_other_file(store: EvidenceStore) -> None:
    store.write_start(good.start())
    store.write_verdict(_verdict())
    store.attach("logs/bootstrap.log", b"well")
    path = store.write_summary(good.summary())
    summary = json.loads(path.read_bytes())
    names = {p.name for p in store.dir.iterdir()} - {chain.SUMMARY}
    assert set(summary["files"]) == names
    assert summary["files"]["logs_bootstrap.log"] == sha256_bytes(b"well")
    assert summary["chain_head"] == store.head
    assert summary["digest"] == chain.own_digest(summary)
    assert path.read_bytes() == pretty_json(summary)


def test_attachments_never_overwrite_each_other_nor_leave_the_folder(store: EvidenceStore) -> None:
    first, second = store.attach("x.log", b"1"), store.attach("x.log", b"2")
    outside = store.attach("../../etc/passwd", b"3")
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    assert {p.parent for p in (first, second, outside)} == {store.dir}


def test_an_artifact_has_the_digest_and_size_of_its_file(
    store: EvidenceStore, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    artifact = store.artifact("log", tmp_path / "a")
    assert (artifact.bytes, artifact.sha256) == (3, sha256_bytes(b"abc"))


def test_an_artifact_that_is_not_there_has_no_digest_and_no_size(
    store: EvidenceStore, tmp_path: Path
) -> None:
    artifact = store.artifact("log", tmp_path / "a")
    assert (artifact.sha256, artifact.bytes) == (NO_FILE, 0)


def test_what_is_to_be_signed_of_a_statement_is_what_was_written(store: EvidenceStore) -> None:
    raw = store.write_provenance({"b": float("inf"), "a": 1})
    assert raw == b'{"a":1,"b":"inf"}\n'
    assert (store.dir / chain.PROVENANCE).read_bytes() == raw


def _verdict() -> Any:
    from pytest_wf.court import deterministic

    context = deterministic.VerdictContext(
        evidence_sha256="e" * 64,
        deterministic_sha256="a" * 64,
        constitutional_sha256="b" * 64,
        previous_verdict_sha256=None,
        enforced=True,
        decided_at="2026-01-02T03:04:07Z",
    )
    return deterministic.verdict(
        good.evidence("P40"), good.contract("P40"), good.report("P40"), good.answer("P40"), context
    )
