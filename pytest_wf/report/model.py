"""Rows and links as the page shows them.

Nothing is escaped: that is the page's business, for every text alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_wf.project.parameters import Parameters
from pytest_wf.report.trackers import TrackerFolder


@dataclass(frozen=True)
class Link:
    """A file beside the page: its label, and its place relative to the page, URL-quoted."""

    label: str
    href: str


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
    #: Its share of the pod's price, in US dollars; None where that is not known.
    cost_usd: float | None = None
    #: Of a row that was still running: how far it was when it was seen last.
    so_far: str = ""
    #: The member of several whose pod it ran on.
    pod: str = ""
    gpu: str = ""
    #: The part of the pod's GPUs that it had; 1 where that is not known.
    gpu_share: float = 1.0
    config: str = ""
    seed: str = ""
    overrides: str = ""
    remark: str = ""
    adopted_from: str = ""
    resumed_from: str = ""
    #: Its config, its seed and its overrides, with typed values.
    parameters: Parameters = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    #: Its metrics, and their extremes by ``min(name)`` and ``max(name)``.
    measures: dict[str, Any] = field(default_factory=dict)
    #: By metric: its least value, the step of that, its greatest value, the step of that.
    extremes: dict[str, tuple[Any, int | None, Any, int | None]] = field(default_factory=dict)
    #: By metric: the source that counts, as `wire.metrics.sources` names them.
    sources: dict[str, str] = field(default_factory=dict)
    #: Its place among the rows of the page that are ranked, from 1; None where it is not.
    rank: int | None = None
    #: By metric: steps, values, and how many points the file holds.
    curves: dict[str, tuple[list[float], list[float], int]] = field(default_factory=dict)
    #: What curves may be drawn over besides the step, 'epoch' and 'time': steps, and its values.
    axes: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    #: Codes of its notes, such as 'nan, late-writer'.
    noted: str = ""
    #: What a reader must know about the row or its numbers.
    notes: list[str] = field(default_factory=list)
    log_tail: str = ""
    links: tuple[Link, ...] = ()
    #: Where experiment trackers wrote, in the fetched run.
    trackers: tuple[TrackerFolder, ...] = ()
