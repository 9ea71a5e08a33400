"""A good flow, phase by phase: evidence that every court passes, for tests to spoil.

Handed out by the fixture `good`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_wf.auditor import audit
from pytest_wf.court import deterministic
from pytest_wf.court.case import World
from pytest_wf.court.constitution import LAWS
from pytest_wf.court.contract import Contract
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.records import (
    Artifact,
    Check,
    ConstitutionalReport,
    DeterministicReport,
    Evidence,
    FlowEnd,
    FlowStart,
    FlowSummary,
    Verdict,
)
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.evidence.summary import recomputed
from pytest_wf.wire.rows import RowStatus

FLOW = "f-20260102T030405Z-abc123"
CONFIG = "c" * 64
GIT = "9" * 40
TARGET = "ssh:gpu@root@10.0.0.1:22"
CODES = tuple(CONTRACTS)
OPTIONS = {
    "provision": "auto",
    "sweep": "start",
    "wait": "true",
    "fetch": "all",
    "teardown": "delete",
}
ROWS = {row.run_id: row.as_json() for row in (RowStatus("a", "success"), RowStatus("b", "failed"))}

_ALL_OF_IT: dict[str, dict[str, Any]] = {
    "P00": {
        "command_name": "precheck",
        "facts": {
            "laws": sorted(LAWS),
            "config_sha256": CONFIG,
            "interactive": False,
            "consent": True,
        },
    },
    "P10": {"command_name": "provision", "facts": {"rented": "pod-1", "provider": "lium"}},
    "P20": {"command_name": "bind"},
    "P30": {
        "command_name": "pod-status",
        "facts": {
            "connection": {"host_key": "SHA256:abc"},
            "config_sync": {"path": "/mnt/project.env", "sha256": "e" * 64},
        },
        "fsm_before": "INIT",
        "fsm_after": "POD_READY",
    },
    "P40": {
        "command_name": "bootstrap",
        "facts": {"missing": [], "installed": ["tmux"]},
        "fsm_before": "POD_READY",
        "fsm_after": "BOOTSTRAPPED",
    },
    "P50": {
        "command_name": "checkout",
        "facts": {"dirty": False, "torch": {"version": "2.13", "cuda": "12.8"}},
        "git_sha": GIT,
        "fsm_before": "BOOTSTRAPPED",
        "fsm_after": "CHECKED_OUT",
    },
    "P60": {
        "command_name": "sweep-start",
        "campaign_id": "c-1",
        "fsm_before": "CHECKED_OUT",
        "fsm_after": "SWEEP_RUNNING",
    },
    "P70": {
        "command_name": "sweep-watch",
        "facts": {"waited": True},
        "rows": ROWS,
        "fsm_before": "SWEEP_RUNNING",
        "fsm_after": "SWEEP_COMPLETED",
    },
    "P80": {
        "command_name": "fetch",
        "facts": {"verified": True, "files": 8},
        "fsm_before": "SWEEP_COMPLETED",
        "fsm_after": "ARTIFACTS_SYNCED",
    },
    "P90": {
        "command_name": "pod-delete",
        "facts": {"deleted": True, "removed": ["/mnt/outputs"], "released": {}, "kept": None},
        "fsm_before": "ARTIFACTS_SYNCED",
        "fsm_after": "POD_TERMINATED",
    },
    "P99": {
        "command_name": "summary",
        "facts": {"phases": dict.fromkeys(CODES[:-1], "ok")},
    },
}


def contract(code: str) -> Contract:
    return CONTRACTS[code]


def evidence(code: str, **changes: Any) -> Evidence:
    """Good evidence of a core phase, with `changes`; facts given replace single facts."""
    bound = code >= "P20"
    declared = CONTRACTS[code]
    values: dict[str, Any] = {
        "flow_id": FLOW,
        "phase_id": code,
        "phase_name": declared.name,
        "started_at": "2026-01-02T03:04:05.000Z",
        "ended_at": "2026-01-02T03:04:06.500Z",
        "active_config_path": "/home/u/project/flows/workflow.env",
        "active_config_sha256": CONFIG,
        "options": OPTIONS,
        "ops_default_host": "gpu",
        "config_target": "gpu",
        "transport": "ssh" if bound else "",
        "resolved_target": TARGET if bound else None,
        "target_source": "explicit" if bound else "unresolved",
        "command_rc": 0,
        "phase_status": "ok",
        "teardown_mode": "delete",
        "contract": declared.as_data(),
        "artifacts": [
            Artifact(role=role, path=f"/mnt/{role}", sha256="e" * 64, bytes=3, where="pod")
            for role in declared.artifacts
        ],
        **_ALL_OF_IT[code],
    }
    values["commands"] = [values["command_name"]]
    facts = {**values.get("facts", {}), **changes.pop("facts", {})}
    return Evidence(**{**values, **changes, "facts": facts})


def world(code: str, **changes: Any) -> World:
    """What the court learnt by itself, in agreement with `evidence(code)`."""
    values: dict[str, Any] = {
        "config_sha256_at_start": CONFIG,
        "config_sha256_now": CONFIG,
        "locked_target": TARGET if code >= "P20" else None,
        "fsm_now": _ALL_OF_IT[code].get("fsm_after"),
        "policy": OPTIONS,
    }
    return World(**{**values, **changes})


def failed(evidence_: Evidence, world_: World, contract_: Contract | None = None) -> list[str]:
    """Names of the checks of the deterministic layer that say no."""
    declared = contract_ or CONTRACTS[evidence_.phase_id]
    return [c.name for c in deterministic.deterministic(evidence_, declared, world_) if not c.ok]


def report(code: str, *, passed: bool = True, **changes: Any) -> DeterministicReport:
    check = Check(name="outcome", ok=passed, expected="well", actual="well" if passed else "ill")
    values = {"flow_id": FLOW, "phase_id": code, "evidence_sha256": "e" * 64, **changes}
    return DeterministicReport(passed=passed, checks=[check], **values)


def answer(code: str, verdict: str = "pass", **changes: Any) -> ConstitutionalReport:
    values = {
        "flow_id": FLOW,
        "phase_id": code,
        "evidence_sha256": "e" * 64,
        "verdict": verdict,
        "auditor": "python -m pytest_wf.auditor",
        "duration_s": 0.1,
        **changes,
    }
    return ConstitutionalReport(**values)


def document(code: str, **changes: Any) -> dict[str, Any]:
    """What the auditor is given over a good phase; `changes` go into the evidence."""
    given = evidence(code).model_dump(mode="json")
    given["facts"].update(changes.pop("facts", {}))
    given.update(changes)
    return {
        "evidence": given,
        "evidence_sha256": "e" * 64,
        "contract": CONTRACTS[code].as_data(),
        "laws": {str(n): LAWS[n].text for n in LAWS},
        "deterministic": report(code).model_dump(mode="json"),
        "flow": {
            "config_sha256_at_start": CONFIG,
            "locked_target": TARGET if code >= "P20" else None,
            "phases_before": [c for c in CODES if c < code],
            "known_violations": [],
            "interactive": False,
            "consent": True,
        },
        "nonce": "n-1",
    }


def violated(given: dict[str, Any]) -> list[int]:
    """The laws that the default auditor finds violated in a document."""
    laws: list[int] = audit(given)["violated_laws"]
    return laws


def start() -> FlowStart:
    return FlowStart(
        flow_id=FLOW,
        started_at="2026-01-02T03:04:05.000Z",
        active_config_path="/home/u/project/flows/workflow.env",
        active_config_sha256=CONFIG,
    )


def passed(code: str, **changes: Any) -> Verdict:
    """The verdict of a court that both layers passed."""
    values = {
        "flow_id": FLOW,
        "phase_id": code,
        "phase_pass": True,
        "deterministic": "pass",
        "constitutional": "pass",
        "enforced": True,
        "evidence_sha256": "e" * 64,
        "deterministic_sha256": "e" * 64,
        "constitutional_sha256": "e" * 64,
        "decided_at": "2026-01-02T03:04:07.000Z",
    }
    return Verdict(**{**values, **changes})


def close(store: EvidenceStore, *, has_views: bool = False, **end: Any) -> Path:
    """Write the summary that follows from the records in `store`, as a flow does at its end."""
    values = {"exit_code": 0, "ended_at": "2026-01-02T03:05:05.000Z", **end}
    facts = {"end": FlowEnd(**values).model_dump(mode="json")}
    store.events.answer(store.events.begin("flow", {}), "flow", "ok", facts)
    files = {path.name: path.read_bytes() for path in store.dir.iterdir() if path.is_file()}
    return store.write_summary(recomputed(files).model_copy(update={"has_views": has_views}))


def summary(**changes: Any) -> FlowSummary:
    values: dict[str, Any] = {
        "flow_id": FLOW,
        "ok": True,
        "exit_code": 0,
        "started_at": "2026-01-02T03:04:05.000Z",
        "ended_at": "2026-01-02T03:05:05.000Z",
        "duration_s": 60.0,
        **changes,
    }
    return FlowSummary(**values)
