"""Why phases did not pass: failed checks, violated laws, the auditor's answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_wf.court.constitution import LAWS
from pytest_wf.report.build import Page
from pytest_wf.report.flow_records import FlowRecords
from pytest_wf.report.model import Link
from pytest_wf.report.phases import links_of
from pytest_wf.report.view import PageView


@dataclass(frozen=True)
class FailedCheck:
    """A check of the court that did not pass."""

    name: str
    law: str
    expected: str
    actual: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """Why a phase did not pass."""

    #: The label of its flow; empty if the page has one flow.
    label: str
    code: str
    name: str
    failure_code: int
    kind: str
    enforced: bool
    #: The text of the phase itself; the text of the court.
    error: str
    halt_reason: str
    checks: tuple[FailedCheck, ...]
    laws: tuple[str, ...]
    #: The auditor's answer, reason and remediation.
    auditor: str
    auditor_reason: str
    remediation: str
    evidence_refs: tuple[str, ...]
    next_command: str
    links: tuple[Link, ...]


def show(page: Page) -> list[Finding]:
    """One finding for each phase that did not pass."""
    return [finding for flow in page.flows for finding in _findings(flow)]


def _findings(flow: FlowRecords) -> Iterator[Finding]:
    for code in flow.failed_phases:
        files = flow.folder.phases[code]
        verdict, evidence, report = files.verdict, files.evidence, files.deterministic
        assert verdict is not None
        answer = files.constitutional
        yield Finding(
            label=flow.label,
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
            links=links_of(flow.folder, code, files, flow.links),
        )


def _law(number: int) -> str:
    return f"Law {number}: {LAWS[number].title}" if number in LAWS else f"Law {number}"


VIEW = PageView("findings", show, link="Findings")
