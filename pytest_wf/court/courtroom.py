"""Holds the court of a phase: writes its four files and decides; fails closed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pytest_wf.court import deterministic
from pytest_wf.court.auditor_answer import ConstitutionalAnswer, read_answer
from pytest_wf.court.auditor_process import Auditors
from pytest_wf.court.case import World
from pytest_wf.court.constitution import LAWS
from pytest_wf.court.contract import Contract
from pytest_wf.court.next_command import next_command
from pytest_wf.evidence.records import (
    Check,
    ConstitutionalReport,
    DeterministicReport,
    Evidence,
    Verdict,
)
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.evidence.times import rfc3339
from pytest_wf.wire.files import BadJson, read_json, sha256_file

Audits = Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]

_MAX_PARSED_BYTES = 16 * 1024 * 1024


@dataclass
class Courtroom:
    """One flow's court. `hold` is called once per phase, in the order of their codes."""

    store: EvidenceStore
    auditors: Auditors
    enforced: bool
    project_root: Path
    #: Further auditors in this process; each answer counts like that of the first.
    extra_audits: Audits | None = None
    #: Codes of the phases that other courts of the same flow have judged: those of its members.
    held_elsewhere: Callable[[], Collection[str]] = frozenset
    _held: list[str] = field(default_factory=list)
    _consent: dict[str, Any] = field(default_factory=dict)

    def hold(
        self,
        evidence: Evidence,
        contract: Contract,
        world: World,
        extra_checks: Sequence[Check] = (),
    ) -> Verdict:
        """Judge one phase and write its four files.

        An error in here results in a verdict that does not pass. An interruption
        (Ctrl-C, a time-out that raises) is recorded in the same way and then raised again.
        """
        sitting = _Sitting(self, evidence, contract)
        try:
            sitting.judge(world, extra_checks)
        except Exception as e:  # noqa: BLE001 - the court fails closed, whatever it is
            return sitting.decide(trouble=_said(e))
        except BaseException as e:
            sitting.decide(trouble=f"interrupted: {_said(e)}")
            raise
        return sitting.decide()

    def artifacts_found(self, evidence: Evidence) -> dict[str, str | None]:
        """Digests of the local artifacts as they are on disk; None for a missing one."""
        return {
            a.path: _digest(self._locate(a.path)) for a in evidence.artifacts if a.where == "local"
        }

    def _locate(self, path: str) -> Path:
        """The path itself if absolute, or below the flow's folder, or below the project."""
        inside = self.store.dir / path
        return inside if inside.exists() else self.project_root / path

    def _unreadable(self, evidence: Evidence) -> dict[str, str]:
        """Local artifacts named *.json that are not valid JSON, with the reason."""
        wrong = {}
        for artifact in evidence.artifacts:
            if artifact.where == "local" and artifact.path.endswith(".json"):
                reason = _why_no_json(self._locate(artifact.path))
                if reason:
                    wrong[artifact.path] = reason
        return wrong

    def _completed(self, world: World, evidence: Evidence) -> World:
        return replace(
            world,
            artifacts_found={**world.artifacts_found, **self.artifacts_found(evidence)},
            unreadable={**self._unreadable(evidence), **world.unreadable},
        )

    def _document(
        self,
        evidence: Mapping[str, Any],
        evidence_sha256: str,
        report: DeterministicReport,
        contract: Contract,
        world: World,
    ) -> dict[str, Any]:
        """The document for an auditor's stdin."""
        return {
            "evidence": evidence,
            "evidence_sha256": evidence_sha256,
            "contract": contract.as_data(),
            "laws": {str(n): f"{LAWS[n].title}. {LAWS[n].text}" for n in contract.laws},
            "deterministic": self.store.as_data(report),
            "flow": {
                "config_sha256_at_start": world.config_sha256_at_start,
                "locked_target": world.locked_target,
                "phases_before": self._phases_before(),
                "known_violations": list(world.known_violations) if contract.always else [],
                **self._consent,
            },
            "nonce": secrets.token_hex(16),
        }

    @property
    def held(self) -> frozenset[str]:
        """Codes of the phases that were judged here."""
        return frozenset(self._held)

    def _phases_before(self) -> list[str]:
        elsewhere = self.held_elsewhere()
        return sorted([*self._held, *(set(elsewhere) - self.held)]) if elsewhere else self._held[:]

    def _audit(self, document: Mapping[str, Any]) -> ConstitutionalAnswer:
        answer = self.auditors.audit(document)
        others = self.extra_audits(document) if self.extra_audits is not None else ()
        return _combined([answer, *(read_answer(other, document) for other in others)])

    def _note(self, evidence: Evidence) -> None:
        self._held.append(evidence.phase_id)
        if evidence.phase_id == "P00":
            for name in ("interactive", "consent"):
                if name in evidence.facts:
                    self._consent[name] = evidence.facts[name]


class _Sitting:
    """One phase before the court: the records written so far, and the missing ones."""

    def __init__(self, room: Courtroom, evidence: Evidence, contract: Contract) -> None:
        self._room = room
        self._store = room.store
        self._evidence = evidence
        self._contract = contract
        self._digests = {"evidence": "", "deterministic": "", "constitutional": ""}
        self._report: DeterministicReport | None = None
        self._answer: ConstitutionalReport | None = None

    def judge(self, world: World, extra_checks: Sequence[Check]) -> None:
        evidence, room = self._evidence, self._room
        _, self._digests["evidence"] = self._store.write_evidence(evidence)
        world = room._completed(world, evidence)
        checks = [*deterministic.deterministic(evidence, self._contract, world), *extra_checks]
        self._write_report(all(c.ok for c in checks), checks)
        assert self._report is not None
        # an auditor gets what was written, so that its verdict is about that digest
        record, digest = self._store.as_data(evidence), self._digests["evidence"]
        document = room._document(record, digest, self._report, self._contract, world)
        self._write_answer(room._audit(document))

    def decide(self, trouble: str = "") -> Verdict:
        """The verdict, written; parts that `trouble` left open are filled in as not passed."""
        self._room._note(self._evidence)
        if trouble:
            trouble = self._fill(trouble)
        assert self._report is not None
        assert self._answer is not None
        context = deterministic.VerdictContext(
            evidence_sha256=self._digests["evidence"],
            deterministic_sha256=self._digests["deterministic"],
            constitutional_sha256=self._digests["constitutional"],
            previous_verdict_sha256=self._store.head,
            enforced=self._room.enforced,
            decided_at=rfc3339(datetime.now(timezone.utc)),
        )
        verdict = deterministic.verdict(
            self._evidence, self._contract, self._report, self._answer, context
        )
        count, head = self._store.events.state()
        verdict = verdict.model_copy(update={"events_count": count, "events_sha256": head})
        if trouble:
            verdict = _denied(verdict, trouble, self._contract, self._evidence.options)
        try:
            self._store.write_verdict(verdict)
        except Exception as e:  # noqa: BLE001 - an unreadable verdict is no pass
            said = f"the verdict could not be written: {_said(e)}"
            verdict = _denied(verdict, said, self._contract, self._evidence.options)
        # the shown verdict is the written one
        return verdict.model_copy(
            update={"halt_reason": self._store.as_data(verdict)["halt_reason"]}
        )

    def _fill(self, trouble: str) -> str:
        """Write missing records, as far as possible; return all of the trouble."""
        steps: list[Callable[[], None]] = []
        if not self._digests["deterministic"]:
            failed = Check(
                name="court-held",
                ok=False,
                law=9,
                expected="the court can be held",
                actual=trouble,
                remedy="Look at the disk and the permissions of the evidence folder.",
            )
            steps.append(lambda: self._write_report(False, [failed]))
        if not self._digests["constitutional"]:
            answer = ConstitutionalAnswer("unverified", reason=trouble)
            steps.append(lambda: self._write_answer(answer))
        for step in steps:
            try:
                step()
            except Exception as e:  # noqa: BLE001 - one step's trouble is not the next one's
                trouble = f"{trouble}; {_said(e)}"
        return trouble

    def _write_report(self, passed: bool, checks: list[Check]) -> None:
        self._report = DeterministicReport(
            flow_id=self._evidence.flow_id,
            phase_id=self._evidence.phase_id,
            passed=passed,
            checks=checks,
            evidence_sha256=self._digests["evidence"],
        )
        _, self._digests["deterministic"] = self._store.write_deterministic(self._report)

    def _write_answer(self, answer: ConstitutionalAnswer) -> None:
        self._answer = ConstitutionalReport(
            flow_id=self._evidence.flow_id,
            phase_id=self._evidence.phase_id,
            verdict=answer.verdict,
            violated_laws=list(answer.violated_laws),
            evidence_refs=list(answer.evidence_refs),
            remediation=answer.remediation,
            auditor=self._room.auditors.command,
            duration_s=answer.duration_s,
            reason=answer.reason,
            evidence_sha256=self._digests["evidence"],
        )
        _, self._digests["constitutional"] = self._store.write_constitutional(self._answer)


def _denied(
    verdict: Verdict, trouble: str, contract: Contract, options: Mapping[str, str]
) -> Verdict:
    """`verdict` as one that does not pass, whatever it was."""
    said = "; ".join(filter(None, (verdict.halt_reason, trouble)))
    return verdict.model_copy(
        update={
            "phase_pass": False,
            "deterministic": "fail" if verdict.phase_pass else verdict.deterministic,
            "halt_reason": said,
            "code": verdict.code or contract.family * 100 + 90,
            "violated_laws": sorted({*verdict.violated_laws, 9}),
            "suggested_next_command": verdict.suggested_next_command
            or next_command(contract.code, "court-deterministic", options),
        }
    )


def _combined(answers: Sequence[ConstitutionalAnswer]) -> ConstitutionalAnswer:
    """One answer from several: the worst verdict, with all remarks."""
    verdicts = {a.verdict for a in answers}
    worst = next(v for v in ("fail", "unverified", "pass") if v in verdicts)
    return ConstitutionalAnswer(
        worst,
        tuple(sorted({law for a in answers for law in a.violated_laws})),
        tuple(dict.fromkeys(ref for a in answers for ref in a.evidence_refs)),
        "\n".join(a.remediation for a in answers if a.remediation),
        "; ".join(a.reason for a in answers if a.reason),
        answers[0].duration_s,
    )


def _digest(path: Path) -> str | None:
    try:
        return sha256_file(str(path))
    except OSError:
        return None


def _why_no_json(path: Path) -> str:
    try:
        read_json(str(path), _MAX_PARSED_BYTES)
    except (OSError, BadJson) as e:
        return str(e)
    return ""


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
