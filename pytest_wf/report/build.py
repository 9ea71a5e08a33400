"""Builds the data of the views from folders: flows in the given order, their rows and curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from pytest_wf import __version__
from pytest_wf.config.ranking import Ranking, rank
from pytest_wf.evidence.times import parse_rfc3339, rfc3339
from pytest_wf.project.parameters import differing, is_seed
from pytest_wf.report.curves import interest, read_metrics, thinned
from pytest_wf.report.flow_records import FlowRecords
from pytest_wf.report.folder import Folder, read_folders, rule_of
from pytest_wf.report.links import Links
from pytest_wf.report.model import PageRow
from pytest_wf.report.rows import Found, rows_of
from pytest_wf.report.running import Running
from pytest_wf.report.sources.event_files import Scalars, Wanted, new_to, read_all
from pytest_wf.wire.metrics.sources import TENSORBOARD

#: Points on the complete page, and of one curve; the fewest points of a curve before
#: less interesting metrics are left out.
MAX_POINTS = 400_000
MAX_CURVE_POINTS = 2_000
_FEWEST_POINTS = 100
#: Larger metrics files are read in part: every n-th line.
MAX_READ_BYTES = 256 * 1024 * 1024
#: The most metrics whose values are on the page.
MAX_MEASURED = 256


@dataclass(frozen=True)
class Page:
    """The data of all views."""

    flows: tuple[FlowRecords, ...]
    #: Rows of all flows, best first. A row that several flows saw in one campaign occurs once.
    rows: tuple[PageRow, ...]
    #: Ranking of the rows by their numbers in the order of the flows.
    ranking: Ranking
    #: Parameters that differ between rows.
    parameters: tuple[str, ...]
    #: Metrics with values, and those of them with curves; the one to look at first
    #: is the first.
    measured: tuple[str, ...]
    metrics: tuple[str, ...]
    #: Notes on what was left out of the curves.
    curve_notes: tuple[str, ...]
    #: Notes on the rows.
    row_notes: tuple[str, ...]
    drawn_at: str
    #: How often it is redrawn while its flow runs; None if the flow has ended.
    drawn_every_s: float | None = None
    version: str = __version__

    @property
    def tuned(self) -> tuple[str, ...]:
        """The parameters that differ between rows, except seeds."""
        return tuple(name for name in self.parameters if not is_seed(name))

    @property
    def ranked_by(self) -> str:
        """The text of the rule that rows are ranked by; empty if that is unknown."""
        rule = self.ranking.rule
        if rule is None:
            return ""
        alike = [name for name in self.measured if name.casefold() == rule.base.casefold()]
        base = rule.base if rule.base in alike or not alike else alike[0]
        return rule.metric.replace(rule.base, base)


def build(folders: Sequence[Path], page_dir: Path, running: Running | None = None) -> Page:
    """The page on the flows in `folders`, for a file in `page_dir`.

    `running` belongs to the only flow. Raises InputError with every folder that is not a flow's.
    """
    read = read_folders(folders)
    links = Links(page_dir)
    labels = [_label(i) if len(read) > 1 else "" for i in range(len(read))]
    found = [rows_of(folder, i, links) for i, folder in enumerate(read)]
    if running is not None:
        found[-1] = _running_rows(read[-1], links, running)
    flows = tuple(
        FlowRecords(folder, label, tuple(f.row for f in rows), links, running is not None)
        for folder, label, rows in zip(read, labels, found, strict=True)
    )
    kept, notes = _once(read, labels, found)
    rows = [f.row for f in kept]
    ranking = _rank(rows, rule_of(read))
    first = ranking.rule.base if ranking.rule is not None else ""
    metrics, curve_notes = _draw_curves(kept, first, has_ended=running is None)
    if running is not None and metrics:
        curve_notes = (*curve_notes, "The flow runs: curves have one point per status of the pod.")
    measured = _by_interest([row.metrics for row in rows], first)
    if len(measured) > MAX_MEASURED:
        left = f"{MAX_MEASURED} of {len(measured)} metrics are on this page."
        measured, notes = measured[:MAX_MEASURED], (*notes, left)
    return Page(
        flows=flows,
        rows=tuple(rows[int(number)] for number in ranking.order),
        ranking=ranking,
        parameters=tuple(differing(row.parameters for row in rows)),
        measured=tuple(measured),
        metrics=metrics,
        curve_notes=curve_notes,
        row_notes=notes,
        drawn_at=rfc3339(datetime.now(timezone.utc)),
        drawn_every_s=None if running is None else running.every_s,
    )


def _running_rows(folder: Folder, links: Links, running: Running) -> list[Found]:
    """The rows of a running flow, with their curves as far as this machine saw them."""
    found = rows_of(folder, 0, links, running.rows)
    for f in found:
        f.row.curves = running.curves.curves(f.row.run_id)
        f.row.axes = running.curves.axes(f.row.run_id)
    return found


class _Numbered(NamedTuple):
    """A row in the ranking of all flows, whose run ids may be the same."""

    run_id: str
    ok: bool | None
    measures: Mapping[str, Any]


def _rank(rows: Sequence[PageRow], rank_by: str) -> Ranking:
    """The ranking of `rows` by their numbers; writes their ranks into them."""
    found = rank([_Numbered(str(i), r.ok, r.measures) for i, r in enumerate(rows)], rank_by)
    for number, place in found.ranks.items():
        rows[int(number)].rank = place
    return found


def _label(index: int) -> str:
    """A, B, …, Z, AA, …"""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _once(
    folders: Sequence[Folder], labels: Sequence[str], found: Sequence[Sequence[Found]]
) -> tuple[list[Found], tuple[str, ...]]:
    """The rows of all flows; a row that several saw in one campaign is kept once, the latest."""
    kept: dict[tuple[str, str], Found] = {}
    shared: dict[str, list[str]] = {}
    for folder, label, rows in zip(folders, labels, found, strict=True):
        campaign = str(folder.last("campaign_id") or folder.path)
        shared.setdefault(campaign, []).append(label)
        for row in rows:
            key = (campaign, row.row.run_id)
            # a flow that ended early knows less about a row than the one before it
            if key not in kept or row.row.state not in ("unknown", "not launched"):
                kept[key] = row
    notes = tuple(
        f"Flows {', '.join(names)} followed one campaign, {campaign}: each of its rows is shown "
        f"once, as it was seen last."
        for campaign, names in shared.items()
        if len(names) > 1
    )
    return list(kept.values()), notes


def _draw_curves(
    found: Sequence[Found], first: str, *, has_ended: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the metrics of all rows into them; return the metrics' names, and notes.

    The metric `first` comes first. Event files are read once the flow has ended, as that is slow.
    """
    here = [f for f in found if f.run is not None]
    total_bytes = sum(f.run.metrics_bytes() for f in here if f.run is not None)
    every = max(1, -(-total_bytes // MAX_READ_BYTES))
    most = max(24, min(MAX_CURVE_POINTS, MAX_POINTS // max(1, len(here))))
    of_events = [Scalars() for _ in here]
    if has_ended:
        of_events = read_all([_with_events(f) for f in here if f.run is not None])
    for f, events in zip(here, of_events, strict=True):
        assert f.run is not None
        raw, wrong = f.run.metrics()
        events = new_to(f.row.metrics, events)
        read = read_metrics(
            raw,
            most_points=most,
            every=every,
            scalars=events.points,
            sources=f.row.sources,
        )
        f.row.notes.extend([wrong] if wrong else [])
        f.row.notes.extend([*events.notes, *read.notes])
        _fill_in(f.row, events)
        f.row.curves = {
            name: ([_short(x) for x in c.x], _values(c.y), c.points)
            for name, c in read.curves.items()
        }
        f.row.axes = {
            name: ([_short(x) for x in xs], [_short(y) for y in ys])
            for name, (xs, ys) in read.axes.items()
        }
    rows = [f.row for f in found if f.row.curves]
    names = _by_interest([row.curves for row in rows], first)
    notes = []
    fit = MAX_POINTS // (_FEWEST_POINTS * max(1, len(rows)))
    if len(names) > max(1, fit):
        notes.append(
            f"Curves of {max(1, fit)} of {len(names)} metrics are on this page: "
            f"left out are {', '.join(names[max(1, fit) :])}."
        )
        names = names[: max(1, fit)]
    _thin(rows, names)
    if every > 1:
        notes.append(
            f"The metrics files are large ({total_bytes >> 20} MiB): one line in {every} was read."
        )
    return tuple(names), tuple(notes)


def _with_events(found: Found) -> Wanted:
    """A run whose event files are read: those of its last attempt."""
    assert found.run is not None
    began = found.row.started_at
    try:
        since = parse_rfc3339(began).timestamp() - 1 if began else 0.0
    except ValueError:
        since = 0.0
    return Wanted(found.run, since, is_bare=not found.row.metrics.keys() - {"step"})


def _fill_in(row: PageRow, events: Scalars) -> None:
    """Add the metrics that only event files have. They are not used for judgements."""
    known = {name.casefold() for name in row.metrics}
    for name, (_, values) in events.points.items():
        if name.casefold() not in known:
            row.metrics[name] = values[-1]
            row.sources[name] = TENSORBOARD
    if "step" not in known and events.points:
        row.metrics["step"] = max(steps[-1] for steps, _ in events.points.values())


def _thin(rows: Sequence[PageRow], names: Sequence[str]) -> None:
    """Keep the curves of `names`, with at most MAX_POINTS points in total."""
    for row in rows:
        row.curves = {name: row.curves[name] for name in names if name in row.curves}
    curves = sum(len(row.curves) for row in rows)
    most = MAX_POINTS // max(1, curves)
    for row in rows:
        for name, (x, y, points) in row.curves.items():
            row.curves[name] = (*thinned(x, y, most), points)


def _by_interest(of_rows: Sequence[Iterable[str]], first: str) -> list[str]:
    """Names of metrics: `first`, then validation before training, and metrics of many rows before
    those of few."""
    counts: dict[str, int] = {}
    for names in of_rows:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    half = len(of_rows) / 2

    def key(name: str) -> tuple[object, ...]:
        without_goal, *rest = interest(name)
        is_rare = counts[name] < half
        return (
            name.casefold() != first.casefold(),
            without_goal,
            is_rare,
            "val" not in name.lower(),
            *rest,
        )

    return sorted(counts, key=key)


def _values(ys: Sequence[float]) -> list[float]:
    """The values of a curve for the page's data: the last one, which is shown beside its name, with
    all of its digits, so that it is not rounded twice."""
    return [*(_short(y) for y in ys[:-1]), *ys[-1:]]


def _short(value: float) -> float:
    """`value` as it is in the page's data: six digits, whole numbers as integers."""
    if value == int(value) and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.6g}")
