"""Snapshots of a flow: its start record, and the evidence and world of each court."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_wf import __version__
from pytest_wf.config.keys import CONSTITUTION_VERSION
from pytest_wf.court.case import World
from pytest_wf.court.constitution import LAWS
from pytest_wf.evidence.records import Artifact, Evidence, FlowStart
from pytest_wf.evidence.times import rfc3339
from pytest_wf.flow.phase import PhaseRecord
from pytest_wf.flow.results import ArtifactNote
from pytest_wf.project.project import config_sha256_now
from pytest_wf.wire.files import sha256_bytes

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState


def start_of(flow: FlowState, environ: Mapping[str, str]) -> FlowStart:
    """The start record: options, rows, laws, contracts and machine of the flow."""
    project = flow.project
    return FlowStart(
        flow_id=flow.flow_id,
        started_at=rfc3339(flow.started_at),
        active_config_path=str(project.config_path),
        active_config_sha256=project.config_raw_sha256,
        override_enabled=project.override_enabled,
        csv_path=str(project.csv_path) if project.csv_path else None,
        csv_sha256=project.manifest.sha256 if project.manifest else None,
        options=flow.options,
        contracts={code: c.as_data() for code, c in flow.contracts.items()},
        laws={str(law.id): law.text for law in LAWS.values()},
        constitution_version=CONSTITUTION_VERSION,
        rows=[row.run_id for row in project.rows],
        deselected=project.deselected,
        rank_by=flow.config.wf_rank_by,
        court_enforced=flow.config.wf_phase_court_enforce,
        auditor=flow.config.wf_subagent_validator_cmd,
        harness_version=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        host=socket.gethostname(),
        user=environ.get("USER", ""),
        pid=os.getpid(),
        project_dir=str(project.root),
        member=flow.member,
        evidence_dir=Path(flow.config.wf_flow_evidence_dir).as_posix(),
    )


def evidence_of(flow: FlowState, record: PhaseRecord) -> Evidence:
    """The evidence of one phase; computes the digests of its artifacts."""
    config, failure, project = flow.config, record.failure, flow.project
    facts = dict(record.facts)
    rows = _rows(flow, record.contract.code, facts)
    if record.skipped:
        facts["skip_reason"] = record.skipped
    if failure is not None and failure.facts:
        facts["failure"] = failure.facts
    target = flow.binding.target
    source: Any = target.source if target is not None else "unresolved"
    status: Any = record.status
    return Evidence(
        flow_id=flow.flow_id,
        phase_id=record.contract.code,
        phase_name=record.contract.name,
        started_at=rfc3339(record.started_at),
        ended_at=rfc3339(record.ended_at or datetime.now(timezone.utc)),
        flow_status=record.flow_status,
        harness_version=__version__,
        active_config_path=str(project.config_path),
        active_config_sha256=project.config_raw_sha256,
        override_enabled=project.override_enabled,
        options=flow.options,
        lium_target=config.provided.get("LIUM_TARGET") or None,
        config_target=config.target or None,
        ops_default_host=config.ops_default_host or None,
        transport=target.transport if target else "",
        resolved_target=flow.binding.target_now(),
        target_source=source,
        remote_env_path=config.remote_env_path,
        fsm_before=record.fsm_before,
        fsm_after=record.fsm_after,
        command_name=record.commands[0] if record.commands else "",
        command_rc=0 if failure is None else 1,
        commands=record.commands,
        phase_status=status,
        failure_code=failure.code if failure else 0,
        failure_kind=failure.kind if failure else "",
        error=failure.text if failure else "",
        repo_url=config.repo_url or None,
        git_sha=flow.fact("P50", "git_sha"),
        teardown_mode=flow.teardown_mode,
        campaign_id=flow.fact("P60", "campaign_id") or facts.get("campaign_id"),
        artifacts=[_artifact(flow, note) for note in record.notes],
        rows=rows,
        facts=_as_json(facts),
        user_checks=record.checks,
        contract=record.contract.as_data(),
    )


def _rows(flow: FlowState, code: str, facts: dict[str, Any]) -> dict[str, Any] | None:
    """The rows in a phase's evidence: P70's own, and in P99 those that differ from them.

    P70 may have failed, or not have run, after rows had been seen.
    """
    if code == "P70":
        found: dict[str, Any] | None = facts.pop("rows", None)
        return found
    seen = {row.run_id: row.as_json() for row in flow.watched.rows} if code == "P99" else {}
    monitor = flow.phases.get("P70")
    recorded = monitor.evidence.rows if monitor and monitor.evidence else None
    return seen if seen and seen != recorded else None


def world_of(flow: FlowState, record: PhaseRecord) -> World:
    """What the court reads itself: the present config and target.

    P90 and P99 do not fail again for known violations.
    """
    always = record.contract.always
    # a job of a cluster checks its own node's torch
    requires_torch = flow.config.require_gpu_torch and flow.config.wf_engine != "slurm"
    return World(
        config_sha256_at_start=flow.project.config_raw_sha256,
        config_sha256_now=config_sha256_now(flow.project),
        locked_target=flow.binding.locked,
        fsm_now=record.fsm_after,
        policy={
            **flow.options,
            "teardown_on_failure": flow.config.wf_teardown_on_failure,
            "expect_git_sha": flow.config.expect_git_sha,
            "require_gpu_torch": "1" if requires_torch else "0",
            "expect": flow.config.wf_expect,
            "deselected": " ".join(flow.project.deselected),
            "max_usd": "" if flow.config.wf_max_usd is None else f"{flow.config.wf_max_usd:g}",
        },
        known_violations=tuple(flow.known_violations) if always else (),
    )


def _artifact(flow: FlowState, note: ArtifactNote) -> Artifact:
    if note.content is not None:
        content = _masked(flow, note.content)
        path = flow.store.attach(note.path, content)
        return Artifact(
            role=note.role, path=str(path), sha256=sha256_bytes(content), bytes=len(content)
        )
    if note.where == "pod":
        return Artifact(
            role=note.role, path=note.path, sha256=note.sha256, bytes=note.size_bytes, where="pod"
        )
    return flow.store.artifact(note.role, Path(note.path))


def _masked(flow: FlowState, content: bytes) -> bytes:
    text = content.decode("utf-8", "surrogateescape")
    return flow.redactor.text(text).encode("utf-8", "surrogateescape")


def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain
