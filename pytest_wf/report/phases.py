"""One flow's verdict, time line, findings and provenance, out of its records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pytest_wf.court.constitution import LAWS
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence import chain
from pytest_wf.evidence.records import Evidence, parse_rfc3339
from pytest_wf.report.folder import Folder, PhaseFiles
from pytest_wf.report.links import Links
from pytest_wf.report.model import FailedCheck, Finding, Flow, Lane, Link, PageRow, Phase
from pytest_wf.report.provenance import provenance_of
from pytest_wf.report.verdict import verdict_of
from pytest_wf.wire.states import ROW_FAILED, ROW_NOT_KNOWN

__all__ = ["flow_of"]

#: More rows than these are one lane of the time line.
_MAX_LANES = 200


def flow_of(folder: Folder, label: str, rows: Sequence[PageRow], links: Links) -> Flow:
    """What the page shows of the flow in `folder`."""
    span = _Span.of(folder)
    phases = _phases(folder, span, links)
    found = verdict_of(folder, phases, rows)
    counts = {
        "ok": sum(row.state == "success" for row in rows),
        "failed": sum(row.state in ROW_FAILED for row in rows),
    }
    counts["not launched"] = sum(row.state == "not launched" for row in rows)
    counts["not known"] = sum(row.state in ROW_NOT_KNOWN for row in rows)
    counts["not ended"] = len(rows) - sum(counts.values())
    return Flow(
        flow_id=folder.flow_id,
        label=label,
        outcome=found.outcome,
        headline=found.headline,
        explained=found.explained,
        next_command=found.next_command,
        started_at=span.stamp(span.start),
        ended_at=span.stamp(span.end) if folder.summary is not None else "",
        duration_s=folder.summary.duration_s if folder.summary is not None else None,
        counts=counts,
        phases=phases,
        sweep=_sweep(rows, span),
        findings=tuple(_findings(folder, links)),
        provenance=provenance_of(folder),
        evidence=tuple(links.to(folder.path / name, name) for name in folder.names),
        verified=folder.verified.ok,
        verify_findings=tuple(folder.verified.findings),
        problems=tuple(folder.problems),
    )


class _Span:
    """The time that the time line covers."""

    def __init__(self, start: datetime | None, end: datetime | None) -> None:
        self.start = start
        self.end = end

    @classmethod
    def of(cls, folder: Folder) -> _Span:
        """From the flow's start to its end, or to the last sign of it."""
        times: list[str] = []
        for phase in folder.phases.values():
            if phase.evidence is not None:
                times += [phase.evidence.started_at, phase.evidence.ended_at]
            if phase.verdict is not None:
                times.append(phase.verdict.decided_at)
        if folder.start is not None:
            times.append(folder.start.started_at)
        if folder.summary is not None:
            times += [folder.summary.started_at, folder.summary.ended_at]
        # a verdict of a court that could not sit is dated 1970
        known = sorted(t for t in map(_time, times) if t is not None and t.year > 1970)
        return cls(known[0], known[-1]) if known else cls(None, None)

    def lane(self, begin: datetime, end: datetime, kind: str, title: str = "") -> Lane | None:
        """The stretch from `begin` to `end`, cut to the span; None outside of it."""
        if self.start is None or self.end is None:
            return None
        whole = max(0.001, (self.end - self.start).total_seconds())
        left = max(0.0, (begin - self.start).total_seconds() / whole * 100)
        right = min(100.0, (end - self.start).total_seconds() / whole * 100)
        if right < 0 or left > 100 or right < left:
            return None
        return Lane(round(left, 3), round(right - left, 3), kind, title)

    @staticmethod
    def stamp(t: datetime | None) -> str:
        return "" if t is None else t.strftime("%Y-%m-%d %H:%M:%S UTC")


def _time(text: str) -> datetime | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


def _phases(folder: Folder, span: _Span, links: Links) -> tuple[Phase, ...]:
    contracts = folder.start.contracts if folder.start is not None else {}
    known = contracts or {code: c.as_data() for code, c in CONTRACTS.items()}
    phases: list[Phase] = []
    before: datetime | None = span.start
    for code in sorted({*known, *folder.phases}):
        files = folder.phases.get(code, PhaseFiles())
        contract = known.get(code, {})
        followed = 0.0
        lanes: list[Lane | None] = []
        begin = end = None
        if files.evidence is not None:
            begin, end = _time(files.evidence.started_at), _time(files.evidence.ended_at)
        if begin is not None and end is not None:
            if code == "P70" and before is not None and begin > before:
                followed = (begin - before).total_seconds()
                lanes.append(span.lane(before, begin, "waited", "following rows"))
            lanes.append(span.lane(begin, end, "own"))
            before = end
        phases.append(
            Phase(
                code=code,
                name=_name(files.evidence, contract),
                intent=str(contract.get("intent", "")),
                status=_status(folder, code, files),
                court=_court(files),
                failure_code=files.verdict.code if files.verdict is not None else 0,
                duration_s=(end - begin).total_seconds() if begin and end else None,
                followed_s=followed,
                said=_said(files.evidence),
                lanes=tuple(lane for lane in lanes if lane is not None),
                links=_links(folder, code, files, links),
            )
        )
    return tuple(phases)


def _name(evidence: Evidence | None, contract: dict[str, Any]) -> str:
    return evidence.phase_name if evidence is not None else str(contract.get("name", ""))


def _status(folder: Folder, code: str, files: PhaseFiles) -> str:
    if files.evidence is not None:
        return files.evidence.phase_status if files.verdict is not None else "open"
    if folder.summary is not None:
        for phase in folder.summary.phases:
            if phase.code == code:
                return phase.status
    return "none"


def _court(files: PhaseFiles) -> str:
    if files.verdict is None:
        return "none"
    if files.verdict.phase_pass:
        return "pass"
    return "unverified" if files.verdict.constitutional == "unverified" else "fail"


def _said(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    if evidence.phase_status == "skip":
        return str(evidence.facts.get("skip_reason", ""))
    return evidence.error.partition("\n")[0]


def _links(folder: Folder, code: str, files: PhaseFiles, links: Links) -> tuple[Link, ...]:
    found = [
        links.to(folder.path / chain.phase_file(code, kind), kind)
        for kind in chain.KINDS
        if chain.phase_file(code, kind) in folder.names
    ]
    for artifact in files.evidence.artifacts if files.evidence is not None else ():
        name = artifact.path.rpartition("/")[2]
        if artifact.where == "local" and name in folder.names:
            found.append(links.to(folder.path / name, name))
    return tuple(found)


def _findings(folder: Folder, links: Links) -> list[Finding]:
    """What each phase that did not pass was found guilty of."""
    found = []
    for code, files in folder.phases.items():
        verdict, evidence, report = files.verdict, files.evidence, files.deterministic
        if verdict is None or (verdict.phase_pass and verdict.code == 0):
            continue
        answer = files.constitutional
        found.append(
            Finding(
                code=code,
                name=evidence.phase_name if evidence is not None else "",
                failure_code=verdict.code,
                kind=evidence.failure_kind if evidence is not None else "",
                enforced=verdict.enforced,
                error=evidence.error if evidence is not None else "",
                halt_reason=verdict.halt_reason,
                checks=tuple(
                    FailedCheck(
                        check.name,
                        "" if check.law is None else _law(check.law),
                        check.expected,
                        check.actual,
                        check.remedy,
                    )
                    for check in (report.checks if report is not None else ())
                    if not check.ok
                ),
                laws=tuple(_law(law) for law in verdict.violated_laws),
                auditor=verdict.constitutional,
                auditor_reason=answer.reason if answer is not None else "",
                remediation=answer.remediation if answer is not None else "",
                evidence_refs=tuple(answer.evidence_refs) if answer is not None else (),
                next_command=verdict.suggested_next_command,
                links=_links(folder, code, files, links),
            )
        )
    return found


def _law(number: int) -> str:
    return f"Law {number}: {LAWS[number].title}" if number in LAWS else f"Law {number}"


def _sweep(rows: Sequence[PageRow], span: _Span) -> tuple[Lane, ...]:
    """When rows ran on the pod, by the pod's clock."""
    ran = [
        (begin, end, row)
        for row in rows
        if (begin := _time(row.started_at)) is not None
        and (end := _time(row.finished_at) or span.end) is not None
    ]
    if len(ran) > _MAX_LANES:
        first, last = min(b for b, _, _ in ran), max(e for _, e, _ in ran)
        lanes = [span.lane(first, last, "all", f"{len(ran)} rows")]
    else:
        lanes = [span.lane(b, e, row.state, f"{row.run_id}: {row.state}") for b, e, row in ran]
    return tuple(lane for lane in lanes if lane is not None)
