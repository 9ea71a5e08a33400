"""A row in words: the same ones in failures, notifications and on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_wf.wire.process import exit_status
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.states import count

#: Rows that the checklist names.
MAX_EVENTS = 50


def how_it_ended(row: RowStatus) -> str:
    """State, failure class, exit status and attempts of a row, then its reason and its notes, a
    line each."""
    said = [row.state]
    if row.failure_class:
        said.append(f"class {row.failure_class}")
    if row.exit_code is not None:
        said.append(exit_status(row.exit_code))
    if row.attempts:
        said.append(f"{row.attempts} attempt{'' if row.attempts == 1 else 's'}")
    if row.resumed_from:
        said.append(f"went on from {row.resumed_from}")
    if row.adopted_from:
        said.append(f"adopted from {row.adopted_from}")
    because = [f"because: {row.reason}"] if row.reason else []
    return "\n".join([", ".join(said), *because, *notes_of(row)])


def failure_of(row: RowStatus) -> str:
    """What a row's failed case says; the categories of Allure are made for it."""
    return f"row {row.run_id} {how_it_ended(row)}"


def events_of(rows: Sequence[RowStatus]) -> list[str]:
    """The end of a sweep for the checklist: its figures, and each row that failed or has notes."""
    if not rows:
        return []
    told = [row for row in rows if row.ok is False or row.notes]
    lines = ["; ".join([f"row {row.run_id}", *how_it_ended(row).splitlines()]) for row in told]
    more = [f"{len(lines) - MAX_EVENTS} more rows failed or have notes"] * (len(lines) > MAX_EVENTS)
    return [*lines[:MAX_EVENTS], *more, f"rows: {counts_line(rows)}"]


def notes_of(row: RowStatus) -> list[str]:
    """The notes of a row, a line each."""
    return [f"note ({note.code}): {note.text}" for note in row.notes]


def counts_line(rows: Sequence[RowStatus]) -> str:
    """The figures of a sweep in one line, such as ``total=3 ok=2 failed=1 …``."""
    return " ".join(f"{name}={number}" for name, number in count(r.state for r in rows).items())
