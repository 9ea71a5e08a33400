"""A row in words, the same in failures, notifications and on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_wf.wire.process import exit_status
from pytest_wf.wire.rows import Note, RowStatus
from pytest_wf.wire.states import count

#: The most rows that the checklist names.
MAX_EVENTS = 50
#: Notes that usually apply to all rows of a sweep, and the most rows that are named with one.
OF_MANY = frozenset({"no-metrics"})
MAX_LISTED = 8


def how_it_ended(row: RowStatus) -> str:
    """State, failure class, exit status and attempts of a row, then its reason and its notes, one
    line each."""
    said = [row.state]
    if row.failure_class:
        said.append(f"class {row.failure_class}")
    if row.exit_code is not None:
        said.append(exit_status(row.exit_code))
    if row.attempts:
        said.append(f"{row.attempts} attempt{'' if row.attempts == 1 else 's'}")
    if row.resumed_from:
        said.append(f"resumed from {row.resumed_from}")
    if row.adopted_from:
        said.append(f"adopted from {row.adopted_from}")
    because = [f"because: {row.reason}"] if row.reason else []
    return "\n".join([", ".join(said), *because, *notes_of(row)])


def failure_of(row: RowStatus) -> str:
    """The text of a row's failed test; the categories of Allure match it."""
    return f"row {row.run_id} {how_it_ended(row)}"


def events_of(rows: Sequence[RowStatus]) -> list[str]:
    """The end of a sweep for the checklist: its counts, and each row that failed or has notes."""
    if not rows:
        return []
    told = [row for row in rows if row.ok is False or row.notes]
    lines = ["; ".join([f"row {row.run_id}", *how_it_ended(row).splitlines()]) for row in told]
    more = [f"{len(lines) - MAX_EVENTS} more rows failed or have notes"] * (len(lines) > MAX_EVENTS)
    return [*lines[:MAX_EVENTS], *more, f"rows: {counts_line(rows)}"]


def notes_of_several(rows: Sequence[RowStatus]) -> list[str]:
    """Notes that many good rows share, each once with its rows."""
    of: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes if row.ok is not False else ():
            if note.code in OF_MANY:
                of.setdefault(_said(note), []).append(row.run_id)
    return [f"{note} ({_listed(run_ids)})" for note, run_ids in of.items()]


def _listed(run_ids: Sequence[str]) -> str:
    shown, more = ", ".join(run_ids[:MAX_LISTED]), len(run_ids) - MAX_LISTED
    return f"row{'' if len(run_ids) == 1 else 's'} {shown}" + (
        f" and {more} more" if more > 0 else ""
    )


def notes_of(row: RowStatus) -> list[str]:
    """The notes of a row, one line each."""
    return [_said(note) for note in row.notes]


def own_notes_of(row: RowStatus) -> list[str]:
    """The notes of a row except those of `notes_of_several`, one line each."""
    return [_said(note) for note in row.notes if note.code not in OF_MANY]


def _said(note: Note) -> str:
    return f"note ({note.code}): {note.text}"


def counts_line(rows: Sequence[RowStatus]) -> str:
    """The counts of a sweep in one line, such as ``total=3 ok=2 failed=1 …``."""
    return " ".join(f"{name}={number}" for name, number in count(r.state for r in rows).items())
