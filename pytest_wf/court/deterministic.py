"""The deterministic layer of a phase's court, and the AND of both layers.

Pure: what the court observed by itself comes in as a `World`, so that evidence is never
judged by itself alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pytest_wf.court.case import Case, World
from pytest_wf.court.checks import JUDGES
from pytest_wf.court.contract import Contract
from pytest_wf.court.next_command import next_command
from pytest_wf.court.phases import CORE_PHASES
from pytest_wf.evidence.records import (
    Check,
    ConstitutionalReport,
    DeterministicReport,
    Evidence,
    Verdict,
)
from pytest_wf.wire.failures import code_of

#: Checks of lasting facts: if an earlier phase failed for one, P90 and P99 only record it.
EXCUSABLE = frozenset({"config-unchanged", "target-unchanged"})

#: The failure kind of a failed check, if it has one of its own.
_KIND_OF_CHECK = {
    "config-unchanged": "config-changed",
    "target-unchanged": "target-changed",
    "commands-in-contract": "not-in-contract",
    "state-before": "illegal-state",
    "state-after": "illegal-state",
    "transition-legal": "illegal-state",
}


def deterministic(evidence: Evidence, contract: Contract, world: World) -> list[Check]:
    """All checks of the deterministic layer for one phase, each with law and remedy."""
    case = Case(evidence, contract, world)
    checks = [check for judge in JUDGES for check in judge(case)]
    checks += _postconditions(case)
    if contract.always:
        checks = [_excused(check, world.known_violations) for check in checks]
    return [*checks, *evidence.user_checks]


def _postconditions(case: Case) -> list[Check]:
    """The checks of a core phase; if it failed or was skipped, only those always judged."""
    phase = CORE_PHASES.get(case.evidence.phase_id)
    if phase is None or not (phase.always_judged or case.evidence.phase_status == "ok"):
        return []
    return [
        Check(**{**found._asdict(), "ok": bool(found.ok), "actual": str(found.actual)})
        for found in phase.postconditions(case)
    ]


@dataclass(frozen=True)
class VerdictContext:
    """Parts of a verdict that it states and does not judge: files and circumstances.

    A digest is '' if its file could not be written.
    """

    evidence_sha256: str
    deterministic_sha256: str
    constitutional_sha256: str
    #: None for the first phase of a flow.
    previous_verdict_sha256: str | None
    #: Whether a failure halts the flow (WF_PHASE_COURT_ENFORCE).
    enforced: bool
    decided_at: str


def verdict(
    evidence: Evidence,
    contract: Contract,
    deterministic: DeterministicReport,
    constitutional: ConstitutionalReport,
    context: VerdictContext,
) -> Verdict:
    """The AND of both layers: pass and pass is a pass, everything else halts.

    A report about another phase or other evidence is invalid: it counts as a fail, or as
    'unverified'.
    """
    digest = context.evidence_sha256
    subject = (evidence.flow_id, evidence.phase_id, digest)
    det = "pass" if deterministic.passed and all(c.ok for c in deterministic.checks) else "fail"
    if not digest or _subject(deterministic) != subject:
        det = "fail"
    const = constitutional.verdict
    if not digest or _subject(constitutional) != subject:
        const = "unverified"
    if const == "pass" and constitutional.violated_laws:
        const = "unverified"
    passed = det == "pass" and const == "pass"
    failed = [c for c in deterministic.checks if not c.ok]
    kind = "" if passed else _kind(evidence, failed, det, const)
    laws = {c.law for c in failed if c.law is not None}
    if const == "fail":
        laws |= set(constitutional.violated_laws)
    code = evidence.failure_code or (code_of(kind, contract.family) if kind else 0)
    return Verdict(
        flow_id=evidence.flow_id,
        phase_id=evidence.phase_id,
        phase_pass=passed,
        deterministic="pass" if det == "pass" else "fail",
        constitutional=const,
        halt_reason="" if passed else _reason(evidence, failed, det, const, constitutional),
        violated_laws=sorted(laws),
        suggested_next_command=""
        if passed
        else next_command(contract.code, kind, evidence.options, evidence.fsm_after),
        code=0 if passed else code,
        **asdict(context),
    )


def _excused(check: Check, known: Sequence[int | str]) -> Check:
    if check.ok or check.name not in EXCUSABLE:
        return check
    if check.name not in known and check.law not in known:
        return check
    said = f"known: an earlier phase failed for it: {check.actual}"
    return check.model_copy(update={"ok": True, "actual": said})


def _subject(report: DeterministicReport | ConstitutionalReport) -> tuple[str, str, str]:
    return report.flow_id, report.phase_id, report.evidence_sha256


def _kind(evidence: Evidence, failed: Sequence[Check], det: str, const: str) -> str:
    if evidence.failure_kind:
        return evidence.failure_kind
    if det == "fail":
        kinds = [_KIND_OF_CHECK[c.name] for c in failed if c.name in _KIND_OF_CHECK]
        return kinds[0] if kinds else "court-deterministic"
    return "court-constitutional" if const == "fail" else "court-unverified"


def _reason(
    evidence: Evidence,
    failed: Sequence[Check],
    det: str,
    const: str,
    constitutional: ConstitutionalReport,
) -> str:
    said = []
    if evidence.phase_status == "fail":
        said.append(evidence.error or evidence.failure_kind)
    others = [c for c in failed if c.name != "outcome"]
    said += [_broken(check) for check in others]
    if det == "fail" and not said:
        said.append("the deterministic report is not about this evidence")
    if const == "fail":
        laws = ", ".join(map(str, constitutional.violated_laws)) or "no law named"
        said.append(f"the auditor says fail (laws: {laws}): {constitutional.remediation}")
    elif const == "unverified":
        said.append(f"the auditor's verdict is unverified: {constitutional.reason}")
    return "; ".join(text.strip() for text in said if text.strip())[:8000] or "the court failed"


def _broken(check: Check) -> str:
    """The text of a failed check; a project's check may have nothing but its name."""
    values = (("expected", check.expected), ("found", check.actual))
    found = [f"{word} {text}" for word, text in values if text]
    return f"{check.name}: {', '.join(found) or check.remedy or 'failed'}"
