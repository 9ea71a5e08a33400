"""The steps of a phase's Allure result: its work, and its court."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allure_commons.model2 import Parameter, Status, StatusDetails, TestStepResult

from pytest_wf.evidence import chain
from pytest_wf.evidence.times import parse_rfc3339
from pytest_wf.wire.files import BadJson, parse_json

_MAX_RECORD_BYTES = 64 * 1024 * 1024
_STATUS = {
    "ok": Status.PASSED,
    "pass": Status.PASSED,
    "skip": Status.SKIPPED,
    "fail": Status.FAILED,
    "unverified": Status.BROKEN,
}


class PhaseFiles:
    """The records of one phase in the flow's folder."""

    def __init__(self, folder: Path, code: str) -> None:
        self._folder = folder
        self._code = code

    def path(self, kind: str) -> Path:
        """The path of the record of `kind`."""
        return self._folder / chain.phase_file(self._code, kind)

    def read(self, kind: str) -> Mapping[str, Any]:
        """The record of `kind`; empty if there is none."""
        try:
            record = parse_json(self.path(kind).read_bytes(), _MAX_RECORD_BYTES)
        except (OSError, BadJson):
            return {}
        return record if isinstance(record, dict) else {}


def phase_steps(files: PhaseFiles, own: list[TestStepResult]) -> list[TestStepResult]:
    """The work with its commands, then both layers of the court with their findings.

    `own` are steps of the phase's author; they belong to the work.
    """
    evidence, checks = files.read("evidence"), files.read("deterministic")
    audit, verdict = files.read("constitutional"), files.read("verdict")
    if not evidence:
        return own
    began, ended = epoch_ms(evidence["started_at"]), epoch_ms(evidence["ended_at"])
    decided = max(ended, epoch_ms(verdict["decided_at"])) if verdict else ended
    heard = max(ended, decided - int(1000 * audit.get("duration_s", 0)))
    status = evidence["phase_status"]
    skipped = str(evidence["facts"].get("skip_reason", ""))
    work = _step("work", status, began, ended, evidence["error"] or skipped)
    work.steps = [_step(command, "ok", began, ended) for command in evidence["commands"]]
    if status != "ok" and work.steps:
        work.steps[-1].status = _STATUS[status]
    work.steps += own
    steps = [work]
    if checks:
        result = "pass" if checks["passed"] else "fail"
        court = _step("court, deterministic layer", result, ended, heard)
        court.steps = [_check(check, ended, heard) for check in checks["checks"]]
        steps.append(court)
    if audit:
        auditor = _step("court, auditor", audit["verdict"], heard, decided, _said(audit))
        auditor.parameters = [Parameter(name="command", value=audit["auditor"])]
        steps.append(auditor)
    return steps


def epoch_ms(time: str) -> int:
    """An RFC 3339 time as milliseconds since 1970, as in Allure."""
    return int(parse_rfc3339(time).timestamp() * 1000)


def _check(check: Mapping[str, Any], start: int, stop: int) -> TestStepResult:
    text = f"expected: {check['expected']}\nactual: {check['actual']}"
    if not check["ok"]:
        law = f"\nlaw {check['law']}" if check["law"] else ""
        text += f"{law}\n{check['remedy']}"
    return _step(check["name"], "pass" if check["ok"] else "fail", start, stop, text)


def _said(audit: Mapping[str, Any]) -> str:
    laws = ", ".join(f"law {law}" for law in audit["violated_laws"])
    return "\n".join(text for text in (laws, audit["reason"], audit["remediation"]) if text)


def _step(name: str, status: str, start: int, stop: int, text: str = "") -> TestStepResult:
    details = StatusDetails(message=text) if text else None
    return TestStepResult(
        name=name, status=_STATUS[status], statusDetails=details, start=start, stop=stop
    )
