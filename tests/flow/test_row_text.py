"""Rows in words."""

from __future__ import annotations

from pytest_wf.flow.rows.row_text import how_it_ended, notes_of_several, own_notes_of
from pytest_wf.wire.rows import Note, RowStatus


def row(run_id: str, *notes: Note, ok: bool = True) -> RowStatus:
    """A row that has ended."""
    return RowStatus(run_id, "success" if ok else "failed", ok=ok, notes=notes)


def test_a_note_of_all_rows_is_one_line_with_the_first_rows() -> None:
    none, late = Note("no-metrics", "none was found"), Note("late-writer", "1 process")
    rows = [row(f"r{i}", none, late) for i in range(100)]
    rows += [row("bad", none, ok=False), row("other", Note("no-metrics", "event files"))]
    assert notes_of_several(rows) == [
        "note (no-metrics): none was found (rows r0, r1, r2, r3, r4, r5, r6, r7 and 92 more)",
        "note (no-metrics): event files (row other)",
    ]
    assert own_notes_of(rows[0]) == ["note (late-writer): 1 process"]


def test_a_row_says_which_checkpoint_it_went_on_from() -> None:
    found = row("a")._replace(attempts=2, resumed_from="out/checkpoint-500")
    assert how_it_ended(found) == "success, 2 attempts, resumed from out/checkpoint-500"
