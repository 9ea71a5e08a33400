"""Rows and links for the page.

Nothing is escaped here: the page escapes all text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_wf.project.parameters import Parameters
from pytest_wf.report.trackers import TrackerFolder


@dataclass(frozen=True)
class Link:
    """A file beside the page: its label, and its path relative to the page, URL-quoted."""

    label: str
    href: str


@dataclass
class PageRow:
    """One sweep row with the latest status that the flow saw."""

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
    #: Its share of the pod's price, in US dollars; None if unknown.
    cost_usd: float | None = None
    #: For a row that was still running: its progress when it was last seen.
    so_far: str = ""
    #: The member whose pod it ran on.
    pod: str = ""
    gpu: str = ""
    #: Its share of the pod's GPUs; 1 if unknown.
    gpu_share: float = 1.0
    config: str = ""
    seed: str = ""
    overrides: str = ""
    remark: str = ""
    adopted_from: str = ""
    resumed_from: str = ""
    #: Its config, seed and overrides, with typed values.
    parameters: Parameters = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    #: Its metrics, and their extremes by ``min(name)`` and ``max(name)``.
    measures: dict[str, Any] = field(default_factory=dict)
    #: By metric: its least value, the step of that, its greatest value, the step of that.
    extremes: dict[str, tuple[Any, int | None, Any, int | None]] = field(default_factory=dict)
    #: By metric: the source that counts, a name of `wire.metrics.sources`.
    sources: dict[str, str] = field(default_factory=dict)
    #: Its rank among the rows of the page, from 1; None if it is not ranked.
    rank: int | None = None
    #: By metric: steps, values, and the number of points in the file.
    curves: dict[str, tuple[list[float], list[float], int]] = field(default_factory=dict)
    #: Axes for curves besides the step, 'epoch' and 'time': steps, and values.
    axes: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    #: Codes of its notes, such as 'nan, late-writer'.
    noted: str = ""
    #: Notes on the row or its numbers.
    notes: list[str] = field(default_factory=list)
    log_tail: str = ""
    links: tuple[Link, ...] = ()
    #: Folders of experiment trackers in the fetched run.
    trackers: tuple[TrackerFolder, ...] = ()
