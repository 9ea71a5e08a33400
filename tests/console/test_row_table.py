"""The table of a sweep's rows."""

from __future__ import annotations

from typing import Any

from pytest_wf.config.ranking import rank
from pytest_wf.console.columns import BAD, BOLD, GOOD, Line, text_of
from pytest_wf.console.row_table import MAX_FAILED, MAX_RANKED, TableRow, row_table
from pytest_wf.wire.rows import Extremes, Live, Note, RowStatus

GOOD_ROW = RowStatus("a", "success", ok=True, duration_s=90, metrics={"loss": 2.0, "step": 30})
BEST = GOOD_ROW._replace(run_id="best", index=1, metrics={"loss": 1.25, "step": 30})
FAILED = RowStatus("bad", "failed", 2, ok=False, failure_class="oom", reason="out of memory")


def drawn(
    *rows: RowStatus, width: int | None = None, rank_by: str = "", more: str = "", **cells: str
) -> list[Line]:
    return row_table([TableRow(row, cells) for row in rows], rank(rows, rank_by), width, more=more)


def texts(*rows: RowStatus, **how: Any) -> list[str]:
    return [text_of(line) for line in drawn(*rows, **how)]


def test_the_best_row_is_first_and_marked_and_a_failed_one_says_why() -> None:
    assert texts(GOOD_ROW, BEST, FAILED, more="wf results") == [
        "  row   state       loss  step   time  reason",
        "* best  success     1.25    30  1 min",
        "  a     success        2    30  1 min",
        "  bad   failed oom                     out of memory",
        "* the best row: lowest final loss (metric chosen by name; see WF_RANK_BY)",
    ]


def test_states_and_the_best_row_have_styles() -> None:
    lines = drawn(BEST, FAILED)
    styles = {part.text.strip(): part.style for line in lines for part in line}
    assert (styles["* best"], styles["success"], styles["failed oom"]) == (BOLD, GOOD, BAD)


def test_where_no_row_is_best_the_table_says_why() -> None:
    [*_, last] = texts(GOOD_ROW._replace(metrics={"speed": 3}))
    assert last.startswith("No row is best. No metric of the rows says")
    assert "best" not in "".join(texts(FAILED))


def test_a_value_that_is_not_ranked_is_shown_as_it_was_reported() -> None:
    diverged = GOOD_ROW._replace(run_id="n", metrics={"loss": "nan"}, notes=(Note("nan", "x"),))
    shown = texts(GOOD_ROW, diverged)
    assert "nan" in shown[2] and "note (nan): x" in shown[2]


def test_the_last_column_is_named_after_what_it_has() -> None:
    noted = GOOD_ROW._replace(run_id="n", notes=(Note("left-out", "x"),))
    titles = [
        texts(*rows)[0].split("  ")[-1].strip() for rows in ([FAILED], [noted], [noted, FAILED])
    ]
    assert titles == ["reason", "note", "reason or note"]


def test_values_that_are_close_have_the_digits_that_tell_them_apart() -> None:
    close = GOOD_ROW._replace(run_id="b", metrics={"loss": 2.00001, "step": 12345678})
    shown = texts(GOOD_ROW, close)
    assert "2.00001" in shown[2] and "12345678" in shown[2]
    live = Live(steps=12345678)
    running = RowStatus("r", "running", progress={"step": 1234567}, live=live)
    assert "1234567/12345678" in texts(running)[1]


def test_the_step_is_that_of_the_last_report() -> None:
    row = GOOD_ROW._replace(metrics={"loss": 1.0}, extremes={"loss": Extremes(77, 1.0, 7, 2.0, 1)})
    assert "77" in texts(row)[1]


def test_a_running_row_has_its_rate_and_the_time_left() -> None:
    live = Live(ran_s=30, steps=100, steps_per_s=2.0)
    running = RowStatus("r", "running", progress={"step": 20, "loss": 2.5}, live=live)
    shown = texts(running, GOOD_ROW)
    assert shown[0].split() == ["row", "state", "loss", "step", "rate", "left", "time"]
    assert shown[1].split() == ["r", "running", "2.5", "20/100", "2/s", "40", "s", "30", "s"]


def test_parameters_stay_and_reasons_go_below_their_rows_where_there_is_no_room() -> None:
    long = FAILED._replace(reason="RuntimeError: CUDA out of memory. " * 4)
    shown = texts(BEST, long, width=60, lr="0.1", batch_size="128")
    assert shown[0].split() == ["row", "state", "loss", "lr", "batch_size", "step", "time"]
    assert shown[3].startswith("    RuntimeError: CUDA out of memory. ") and len(shown[3]) <= 60
    assert not any("lack of room" in line for line in shown)


def test_parameters_without_room_are_named() -> None:
    many = {f"parameter_{n}": "some value" for n in range(9)}
    shown = texts(BEST, width=70, **many)
    assert all(len(line) <= 70 for line in shown[:2])
    assert shown[-1].startswith("Not shown for lack of room: parameter_")


def test_a_large_sweep_shows_its_best_rows_and_some_failed_ones() -> None:
    good = [GOOD_ROW._replace(run_id=f"g{n}", metrics={"loss": n}) for n in range(500)]
    bad = [FAILED._replace(run_id=f"b{n}") for n in range(500)]
    shown = texts(*good, *bad, more="wf results X")
    rows = [line for line in shown if line.startswith(("* g", "  g", "  b"))]
    assert len(rows) == MAX_RANKED + MAX_FAILED
    assert (
        shown[-1] == f"{MAX_RANKED + MAX_FAILED} of 1000 rows are shown; all of them: wf results X"
    )


def test_a_whole_table_has_every_row_as_it_comes() -> None:
    assert [line[:3] for line in texts(GOOD_ROW, BEST, FAILED)[1:4]] == ["  a", "* b", "  b"]
    many = [FAILED._replace(run_id=f"b{n}", attempts=n) for n in range(100)]
    assert len(texts(*many)) == 101


def test_no_rows_have_no_table() -> None:
    assert drawn() == []
