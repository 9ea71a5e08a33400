"""A flow's phases and times, from its records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence import chain
from pytest_wf.evidence.records import Evidence
from pytest_wf.evidence.times import parse_rfc3339
from pytest_wf.report.folder import Folder, PhaseFiles
from pytest_wf.report.links import Links
from pytest_wf.report.model import Link


@dataclass(frozen=True)
class Lane:
    """A section of the timeline, in percent of the total."""

    left: float
    width: float
    #: 'own', 'waited', or the state of the row that ran then.
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Phase:
    """One phase of the timeline."""

    code: str
    name: str
    #: The member whose phase it was; '' for a phase that runs once.
    pod: str
    intent: str
    #: ok, skip, fail, halted; 'open' if its evidence has no verdict, 'none' if the flow
    #: ended before the phase left any record.
    status: str
    #: pass, fail, unverified, none
    court: str
    failure_code: int
    duration_s: float | None
    #: Seconds in which rows were followed before the phase's own work (P70).
    followed_s: float
    #: Why it was skipped, or how it failed; empty if neither.
    said: str
    lanes: tuple[Lane, ...]
    links: tuple[Link, ...]


class Span:
    """The duration of the flow."""

    def __init__(self, start: datetime | None, end: datetime | None) -> None:
        self.start = start
        self.end = end

    @classmethod
    def of(cls, folder: Folder) -> Span:
        """From the flow's start to its end, or to its last record."""
        times: list[str] = []
        for phase in (phase for part in folder.parts for phase in part.phases.values()):
            if phase.evidence is not None:
                times += [phase.evidence.started_at, phase.evidence.ended_at]
            if phase.verdict is not None:
                times.append(phase.verdict.decided_at)
        if folder.start is not None:
            times.append(folder.start.started_at)
        if folder.summary is not None:
            times += [folder.summary.started_at, folder.summary.ended_at]
        # the verdict of a court that could not be held has a time in 1970
        known = sorted(t for t in map(time_of, times) if t is not None and t.year > 1970)
        return cls(known[0], known[-1]) if known else cls(None, None)

    def lane(self, begin: datetime, end: datetime, kind: str, title: str = "") -> Lane | None:
        """The section from `begin` to `end`, cut to the span; None outside it."""
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
        """`t` as the page shows it; empty for None."""
        return "" if t is None else t.strftime("%Y-%m-%d %H:%M:%S UTC")


def time_of(text: str) -> datetime | None:
    """The time in `text`; None if there is none."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


def phases_of(folder: Folder, span: Span, links: Links) -> tuple[Phase, ...]:
    """Every phase that the flow had or should have had, in the order of the codes.

    A phase that ran on several pods occurs once for each.
    """
    of_parts = [
        phase
        for pod, part in (("", folder), *folder.members.items())
        for phase in _phases_of(part, pod, span, links)
    ]
    return tuple(sorted(of_parts, key=lambda phase: (phase.code, phase.pod[3:].zfill(5))))


def _phases_of(folder: Folder, pod: str, span: Span, links: Links) -> list[Phase]:
    contracts = folder.start.contracts if folder.start is not None else {}
    known = contracts or {code: c.as_data() for code, c in CONTRACTS.items()}
    phases: list[Phase] = []
    before: datetime | None = span.start
    at_pods = [_end_of(part) for part in folder.members.values()]
    for code in sorted({*known, *folder.phases}):
        files = folder.phases.get(code, PhaseFiles())
        contract = known.get(code, {})
        followed = 0.0
        lanes: list[Lane | None] = []
        begin = end = None
        if files.evidence is not None:
            begin, end = time_of(files.evidence.started_at), time_of(files.evidence.ended_at)
        if begin is not None and end is not None:
            before = max(filter(None, [before, *at_pods]), default=None)
            if code == "P70" and before is not None and begin > before:
                followed = (begin - before).total_seconds()
                lanes.append(span.lane(before, begin, "waited", "following rows"))
            lanes.append(span.lane(begin, end, "own"))
            before = end
        phases.append(
            Phase(
                code=code,
                name=_name(files.evidence, contract),
                pod=pod,
                intent=str(contract.get("intent", "")),
                status=_status(folder, code, files),
                court=_court(files),
                failure_code=files.verdict.code if files.verdict is not None else 0,
                duration_s=(end - begin).total_seconds() if begin and end else None,
                followed_s=followed,
                said=_said(files.evidence),
                lanes=tuple(lane for lane in lanes if lane is not None),
                links=links_of(folder, code, files, links),
            )
        )
    return phases


def _end_of(folder: Folder) -> datetime | None:
    """When a member's last phase before the end of the sweep had ended."""
    before = [f.evidence for code, f in folder.phases.items() if code < "P70" and f.evidence]
    return max(filter(None, (time_of(one.ended_at) for one in before)), default=None)


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


def links_of(folder: Folder, code: str, files: PhaseFiles, links: Links) -> tuple[Link, ...]:
    """Links to a phase's records and local artifacts."""
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
