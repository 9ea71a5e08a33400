"""Files of W&B, MLflow and TensorBoard in the fetched runs, and how to upload or open them."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.report.build import Page
from pytest_wf.report.model import Link, PageRow
from pytest_wf.report.trackers import TRACKERS, Tracker, TrackerFolder
from pytest_wf.report.view import PageView

#: The most runs whose commands are shown, for each tracker.
MAX_RUNS = 200
#: A longer command is shown only for single runs: a shell may refuse it.
_MAX_COMMAND_CHARS = 100_000


@dataclass(frozen=True)
class TrackedRun:
    """A tracker's files in one run."""

    #: The label of its flow; empty if the page has one flow.
    label: str
    run_id: str
    links: tuple[Link, ...]
    command: str


@dataclass(frozen=True)
class TrackedSweep:
    """A tracker's files in all runs."""

    tracker: str
    verb: str
    count: int
    #: The command for all runs at once; empty if there is none.
    command: str
    runs: tuple[TrackedRun, ...]


def show(page: Page) -> list[TrackedSweep]:
    """Each tracker with files, in the order of the table of trackers."""
    return [found for found in (_sweep(page, tracker) for tracker in TRACKERS) if found is not None]


def _sweep(page: Page, tracker: Tracker) -> TrackedSweep | None:
    rows = [row for row in page.rows if _folders(row, tracker)]
    if not rows:
        return None
    command = tracker.command([folder for row in rows for folder in _folders(row, tracker)])
    return TrackedSweep(
        tracker.name,
        tracker.verb,
        len(rows),
        command if len(command) <= _MAX_COMMAND_CHARS else "",
        tuple(
            TrackedRun(
                page.flows[row.flow].label,
                row.run_id,
                tuple(page.flows[row.flow].links.to(one.path, one.name) for one in folders),
                tracker.command(folders),
            )
            for row in rows[:MAX_RUNS]
            for folders in [_folders(row, tracker)]
        ),
    )


def _folders(row: PageRow, tracker: Tracker) -> list[TrackerFolder]:
    return [one for one in row.trackers if one.tracker == tracker.name]


VIEW = PageView("trackers", show, link="Trackers")
