"""What the page shows: one flow or several, as plain values, ready to be drawn.

Everything in here comes from `folder.Folder` and from fetched runs. Nothing is escaped: that
is the page's business, for every text alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "ComparedRun",
    "Comparison",
    "Finding",
    "Flow",
    "Lane",
    "Link",
    "Page",
    "PageRow",
    "Phase",
]


@dataclass(frozen=True)
class Link:
    """A file beside the page: its label, and its place relative to the page, URL-quoted."""

    label: str
    href: str


@dataclass(frozen=True)
class Lane:
    """A stretch of time on the time line, in percent of the whole."""

    left: float
    width: float
    #: 'own', 'waited', or the state of the row that ran then.
    kind: str
    title: str = ""


@dataclass(frozen=True)
class Phase:
    """One phase of the time line."""

    code: str
    name: str
    intent: str
    #: ok, skip, fail, halted; 'open' where its evidence has no verdict, 'none' where the flow
    #: ended before it left anything.
    status: str
    #: pass, fail, unverified, none
    court: str
    failure_code: int
    duration_s: float | None
    #: Seconds in which rows were followed before the phase's own work (P70).
    followed_s: float
    #: Why it was skipped, how it failed; empty where there is nothing to say.
    said: str
    lanes: tuple[Lane, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class FailedCheck:
    """A question of the court that was answered with no."""

    name: str
    law: str
    expected: str
    actual: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """Why a phase did not pass."""

    code: str
    name: str
    failure_code: int
    kind: str
    enforced: bool
    #: What the phase itself said; what the court said.
    error: str
    halt_reason: str
    checks: tuple[FailedCheck, ...]
    laws: tuple[str, ...]
    #: The auditor's answer, its reason, its advice.
    auditor: str
    auditor_reason: str
    remediation: str
    evidence_refs: tuple[str, ...]
    next_command: str
    links: tuple[Link, ...]


@dataclass
class PageRow:
    """One sweep row, as the flow saw it last."""

    run_id: str
    #: Index of its flow on the page.
    flow: int
    index: int
    state: str = "unknown"
    ok: bool | None = None
    attempts: int = 0
    exit_code: int | None = None
    failure_class: str = ""
    reason: str = ""
    started_at: str = ""
    finished_at: str = ""
    duration_s: float | None = None
    #: Of a row that was still running: how far it was when it was seen last.
    so_far: str = ""
    gpu: str = ""
    config: str = ""
    seed: str = ""
    overrides: str = ""
    remark: str = ""
    adopted_from: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    #: By metric: steps, values, and how many points the file holds.
    curves: dict[str, tuple[list[float], list[float], int]] = field(default_factory=dict)
    #: What a reader must know about the row or its numbers.
    notes: list[str] = field(default_factory=list)
    log_tail: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Flow:
    """One flow: verdict, phases, findings, provenance."""

    flow_id: str
    #: 'A', 'B', … where the page has several; empty for one.
    label: str
    #: passed, failed, halted, interrupted, unfinished
    outcome: str
    headline: str
    #: What follows from it, in a sentence or two.
    explained: tuple[str, ...]
    next_command: str
    started_at: str
    ended_at: str
    duration_s: float | None
    counts: dict[str, int]
    phases: tuple[Phase, ...]
    #: The sweep on the pod, by the pod's clock; one lane a row, or one for all.
    sweep: tuple[Lane, ...]
    findings: tuple[Finding, ...]
    #: Groups of names and values.
    provenance: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    evidence: tuple[Link, ...]
    #: What `wf verify` said when the page was drawn.
    verified: bool
    verify_findings: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class ComparedRun:
    """One run of several flows: its last value in each, and how it changed."""

    run_id: str
    values: tuple[str, ...]
    change: str
    #: 'good' or 'bad' where the metric says which way is better, else empty.
    judged: str


@dataclass(frozen=True)
class Comparison:
    """The runs that several flows have in common."""

    metric: str
    labels: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """All that is drawn."""

    title: str
    flows: tuple[Flow, ...]
    rows: tuple[PageRow, ...]
    #: Metrics that have curves, the one to look at first in front.
    metrics: tuple[str, ...]
    #: How honest the curves are.
    curve_notes: tuple[str, ...]
    notes: tuple[str, ...]
    #: None for one flow, or where no run is in two of them.
    compared: Comparison | None
    drawn_at: str
    version: str
