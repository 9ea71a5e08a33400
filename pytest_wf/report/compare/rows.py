"""Rows with the same name whose parameters differ between flows."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_wf.project.parameters import shown
from pytest_wf.report.compare.difference import MISSING, Difference
from pytest_wf.report.model import PageRow

_NO_ROW = "no such row"


def differing_rows(flows: Sequence[Sequence[PageRow]]) -> list[Difference]:
    """Rows whose config, seed or overrides are not the same in all flows: only the differences."""
    by_id = [{row.run_id: row for row in rows} for rows in flows]
    found = []
    for run_id in dict.fromkeys(run_id for rows in by_id for run_id in rows):
        seen = [rows.get(run_id) for rows in by_id]
        names = dict.fromkeys(name for row in seen if row is not None for name in row.parameters)
        differ = [name for name in names if _differs(name, seen)]
        if differ or None in seen:
            texts = tuple(_NO_ROW if row is None else _text(row, differ) for row in seen)
            found.append(Difference(run_id, texts))
    return found


def _differs(name: str, seen: Sequence[PageRow | None]) -> bool:
    values = [row.parameters.get(name) for row in seen if row is not None]
    return len({(type(value) is bool, value) for value in values}) > 1


def _text(row: PageRow, names: Sequence[str]) -> str:
    known = row.parameters
    said = [f"{name}={shown(known[name]) if name in known else MISSING}" for name in names]
    return " ".join(said) or "as it is"
