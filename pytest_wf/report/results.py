"""The rows of flows with typed values, in stable columns, for people and programs.

`wf results` and `pytest_wf.load` return them; both read only evidence, as the page does.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_wf.config.ranking import Ranking, parse, rank
from pytest_wf.config.types import BadValue
from pytest_wf.errors import InputError, Problem
from pytest_wf.evidence import chain
from pytest_wf.project.parameters import CONFIG, SEED, typed
from pytest_wf.report.folder import Folder, read_folders, rule_of
from pytest_wf.report.links import Links
from pytest_wf.report.model import PageRow
from pytest_wf.report.rows import NOT_LAUNCHED, Found, rows_of
from pytest_wf.wire.rows import Extremes, RowStatus

#: Columns of every row, in order. They are followed by ``override.<name>``, in the order of the
#: CSV, and ``last.<metric>``, ``min.<metric>`` and ``max.<metric>``, by name.
COLUMNS = (
    "flow_id",
    "campaign_id",
    "run_id",
    "state",
    "ok",
    "rank",
    "config",
    "seed",
    "attempts",
    "duration_s",
    "cost_usd",
    "failure_class",
    "exit_code",
    "reason",
    "started_at",
    "finished_at",
    "adopted_from",
    "notes",
    "git_sha",
    "flow_dir",
    "path",
)
#: The first characters of a spreadsheet's formulas.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NOT_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


@dataclass(frozen=True)
class Results:
    """The rows of one or more flows."""

    #: The names of all columns that any row has.
    columns: tuple[str, ...]
    #: A value for each column that the row has: text, a number, a bool or None.
    rows: tuple[dict[str, Any], ...]
    #: The rows as tables show them, with the names used in the ranking: their ids, or in the
    #: results of several flows ``<flow_id>/<run_id>``.
    statuses: tuple[RowStatus, ...]
    #: Config, seed and overrides of each row.
    parameters: tuple[Mapping[str, Any], ...]
    #: Ranking of the rows of all flows.
    ranking: Ranking
    #: Why rows may be wrong or missing, a sentence each: evidence that cannot be read, was changed,
    #: or belongs to a flow that has not ended or launched nothing.
    remarks: tuple[str, ...] = ()

    @property
    def best(self) -> dict[str, Any] | None:
        """The best row: its flow, id, metric, goal, value, and whether the rule was guessed."""
        found = self.ranking.as_json()
        for status, row in zip(self.statuses, self.rows, strict=True):
            if found is not None and status.run_id == found["run_id"]:
                return {**found, "flow_id": row["flow_id"], "run_id": row["run_id"]}
        return None

    def as_csv(self) -> str:
        """A line of column names and a line for each row; missing values are empty."""
        out = io.StringIO()
        written = csv.writer(out, lineterminator="\n")
        written.writerow(self.columns)
        for row in self.rows:
            written.writerow([_cell(row.get(column)) for column in self.columns])
        return out.getvalue()


def results_of(flow_dirs: Iterable[Path], rank_by: str = "") -> Results:
    """The rows of the flows in these folders, ranked together.

    They are ranked by `rank_by`, otherwise as in the last flow. Raises InputError if that is not a
    valid rule, or with every folder that is not a flow's.
    """
    try:
        parse(rank_by)
    except BadValue as e:
        raise InputError(
            [Problem("results", None, "rank_by", rank_by, e.reason, e.remedy)]
        ) from None
    folders = read_folders(flow_dirs)
    found = [(folder, one) for n, folder in enumerate(folders) for one in _rows(folder, n)]
    statuses = [
        _status(one.row, f"{folder.flow_id}/" if len(folders) > 1 else "") for folder, one in found
    ]
    ranking = rank(statuses, rank_by or rule_of(folders))
    rows = [
        _row(folder, one, ranking.ranks.get(status.run_id))
        for (folder, one), status in zip(found, statuses, strict=True)
    ]
    overrides = dict.fromkeys(key for row in rows for key in row if key.startswith("override."))
    metrics = sorted({key for row in rows for key in row} - {*COLUMNS, *overrides}, key=_metric)
    return Results(
        columns=(*COLUMNS, *overrides, *metrics),
        rows=tuple(rows),
        statuses=tuple(statuses),
        parameters=tuple(one.row.parameters for _, one in found),
        ranking=ranking,
        remarks=tuple(
            remark
            for folder in folders
            for remark in _remarks(folder, {one.row.state for its, one in found if its is folder})
        ),
    )


def _remarks(folder: Folder, states: Collection[str]) -> Iterator[str]:
    """Remarks on a flow's evidence besides its rows; `states` are those of its rows."""
    yield from (f"{folder.flow_id}: {problem}" for problem in folder.problems)
    if chain.SUMMARY not in folder.names:
        yield f"{folder.flow_id}: it has not ended, or was killed; its rows are as last seen."
    elif not folder.verified.ok:
        yield f"{folder.flow_id}: its evidence is not as it was written; see wf verify."
    if states == {NOT_LAUNCHED}:
        yield (
            f"{folder.flow_id}: it launched no row; `wf results FOLDER` shows the rows of an "
            f"earlier flow, a folder of {folder.path.parent}."
        )


def _rows(folder: Folder, flow: int) -> list[Found]:
    return rows_of(folder, flow, Links(folder.path))


def _status(row: PageRow, prefix: str) -> RowStatus:
    return RowStatus(
        run_id=f"{prefix}{row.run_id}",
        state=row.state,
        index=row.index,
        ok=row.ok,
        attempts=row.attempts,
        failure_class=row.failure_class or None,
        reason=row.reason or None,
        duration_s=row.duration_s,
        metrics=row.metrics,
        extremes={name: Extremes(None, *ends) for name, ends in row.extremes.items()},
        adopted_from=row.adopted_from or None,
    )


def _row(folder: Folder, found: Found, place: int | None) -> dict[str, Any]:
    row = found.row
    parameters = dict(row.parameters)
    values: dict[str, Any] = {
        "flow_id": folder.flow_id,
        "campaign_id": str(folder.last("campaign_id") or ""),
        "run_id": row.run_id,
        "state": row.state,
        "ok": row.ok,
        "rank": place,
        "config": parameters.pop(CONFIG, ""),
        "seed": parameters.pop(SEED, None),
        "attempts": row.attempts,
        "duration_s": row.duration_s,
        "cost_usd": row.cost_usd,
        "failure_class": row.failure_class,
        "exit_code": row.exit_code,
        "reason": row.reason,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "adopted_from": row.adopted_from,
        "notes": row.noted,
        "git_sha": str(folder.last("git_sha") or ""),
        "flow_dir": str(folder.path),
        "path": str(found.run.path) if found.run is not None else "",
    }
    values |= {f"override.{name}": value for name, value in parameters.items()}
    values |= {f"last.{name}": _number(value) for name, value in row.metrics.items()}
    for name, (least, _, greatest, _) in row.extremes.items():
        values |= {f"min.{name}": _number(least), f"max.{name}": _number(greatest)}
    return values


def _number(value: Any) -> Any:
    """A metric as a number, including NaN and infinity; other text stays text."""
    return _NOT_FINITE.get(value.lower(), value) if isinstance(value, str) else value


def _metric(column: str) -> tuple[str, int]:
    """Sort key for columns of metrics: by name, the last value before the extremes."""
    kind, _, name = column.partition(".")
    return name, ("last", "min", "max").index(kind)


def _cell(value: Any) -> Any:
    """A value for CSV; text that a spreadsheet would read as a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA) and isinstance(typed(value), str):
        return f"'{value}"
    return str(value).lower() if isinstance(value, bool) else value


def load(flow_dirs: Iterable[str | os.PathLike[str]], rank_by: str, frame: bool | None) -> Any:
    """The rows as a pandas data frame or as a list; see `pytest_wf.load`."""
    results = results_of(map(Path, flow_dirs), rank_by)
    rows = [{column: row.get(column) for column in results.columns} for row in results.rows]
    if frame is False:
        return rows
    try:
        import pandas
    except ImportError:
        if frame:
            raise
        return rows
    return pandas.DataFrame(rows, columns=list(results.columns))
