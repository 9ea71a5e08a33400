"""metrics.jsonl as curves: strict, honest about what is left out, spikes kept."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.report.curves import MAX_CURVES, MAX_NAMES, read_metrics, thinned


def lines(*reports: object) -> bytes:
    return b"".join(json.dumps(report).encode() + b"\n" for report in reports)


def test_each_metric_is_a_curve_over_the_step() -> None:
    raw = lines(
        {"step": 0, "loss": 3.0}, {"step": 10, "loss": 2.0, "lr": 0.1}, {"step": 20, "lr": 0}
    )
    curves = read_metrics(raw, most_points=100).curves
    assert (list(curves["loss"].x), list(curves["loss"].y)) == ([0, 10], [3.0, 2.0])
    assert (list(curves["lr"].x), list(curves["lr"].y)) == ([10, 20], [0.1, 0])


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[1]",
        b'[["step", 1], ["loss", 2]]',
        b'{"step": 1, "step": 2, "loss": 1}',
        b'{"step": "1", "loss": 1}',
        b'{"step": NaN, "loss": 1}',
        b'{"step": 1, "loss": ',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"step": 1, "note": "' + b"x" * 70_000 + b'"}',
    ],
)
def test_a_line_that_is_no_report_is_counted_and_left_out(line: bytes) -> None:
    read = read_metrics(lines({"step": 0, "loss": 3}) + line + b"\n", most_points=100)
    assert read.curves["loss"].points == 1
    assert read.notes == ("Lines of metrics.jsonl that are not reports: 1.",)


def test_values_that_are_no_numbers_make_no_curve() -> None:
    raw = lines({"step": 1, "loss": "low", "done": True, "nested": {"loss": 1}, "none": None})
    assert read_metrics(raw, most_points=100).curves == {}


def test_a_value_that_is_not_finite_is_told_and_not_drawn() -> None:
    raw = lines({"step": 1, "loss": 2.0}, {"step": 2, "loss": math.nan}, {"step": 3, "loss": 1e999})
    raw += b'{"step": 4, "loss": 1' + b"0" * 400 + b"}\n"
    read = read_metrics(raw, most_points=100)
    assert read.curves["loss"].points == 1
    assert read.notes == ("loss: 3 values are not finite, the first at step 2.",)


def test_a_later_attempt_replaces_the_steps_that_it_repeats() -> None:
    first = [{"step": step, "loss": 9.0} for step in range(5)]
    second = [{"step": step, "loss": 1.0} for step in range(2, 4)]
    read = read_metrics(lines(*first, *second), most_points=100)
    assert list(read.curves["loss"].x) == [0, 1, 2, 3]
    assert list(read.curves["loss"].y) == [9.0, 9.0, 1.0, 1.0]
    assert read.notes == ("loss: 3 points were replaced by later ones.",)


def test_points_that_are_read_again_are_not_said_to_be_replaced() -> None:
    reports = [{"step": step, "loss": 9.0 - step} for step in range(3)]
    read = read_metrics(lines(*reports, *reports, {"step": 3, "loss": 1.0}), most_points=100)
    assert list(read.curves["loss"].x) == [0, 1, 2, 3]
    assert read.notes == ()


def test_of_several_attempts_the_last_one_counts() -> None:
    reports = [
        {"attempt": n, "source": "log", "step": s, "loss": n} for n in (1, 2) for s in (1, 2)
    ]
    late = {"attempt": 1, "source": "log", "step": 9, "loss": 1}
    read = read_metrics(lines(*reports, late), most_points=100)
    assert (list(read.curves["loss"].x), list(read.curves["loss"].y)) == ([1, 2], [2, 2])
    assert read.notes == ()


def test_each_metric_is_of_the_first_source_that_has_it() -> None:
    log = [{"attempt": 1, "source": "log", "step": s, "Loss": 2.5, "lr": 0.1} for s in range(9)]
    late = {"attempt": 1, "source": "a/metrics.csv", "step": 4, "loss": 2.25}
    result = {"attempt": 1, "source": "all_results.json", "loss": 1.0}
    curves = read_metrics(lines(*log, late, result), most_points=100).curves
    assert {name: list(curve.x) for name, curve in curves.items()} == {
        "loss": [4],
        "lr": [*range(9)],
    }


def test_of_two_files_of_one_kind_the_result_says_which_counts_else_the_last() -> None:
    reports = [
        {"attempt": 1, "source": f"{version}/metrics.csv", "step": 1, "loss": version}
        for version in (0, 1)
    ]
    for sources, value in (({}, 1), ({"loss": "0/metrics.csv"}, 0)):
        read = read_metrics(lines(*reports), most_points=9, sources=sources)
        assert list(read.curves["loss"].y) == [value]


def test_every_so_many_lines_are_of_all_sources() -> None:
    reports = [
        {"attempt": 1, "source": source, "step": s, name: 1}
        for s in range(100)
        for source, name in (("log", "lr"), ("metrics.jsonl", "loss"))
    ]
    curves = read_metrics(lines(*reports), most_points=100, every=10).curves
    assert all(curve.points > 5 for curve in curves.values())
    assert set(curves) == {"lr", "loss"}


def test_without_steps_the_line_stands_in() -> None:
    read = read_metrics(lines({"loss": 3}, {"loss": 2}), most_points=100)
    assert list(read.curves["loss"].x) == [1, 2]
    assert read.notes == ("No report has a step: its line is used instead.",)


def test_losses_are_kept_before_other_metrics() -> None:
    many = {f"metric{i:02d}": 1.0 for i in range(MAX_CURVES + 5)}
    read = read_metrics(lines({"step": 1, **many, "val_loss": 2.0}), most_points=100)
    assert len(read.curves) == MAX_CURVES
    assert "val_loss" in read.curves
    assert read.notes == (f"{MAX_CURVES + 6} metrics; curves are kept of 12, losses first.",)


def test_a_run_that_invents_names_without_end_is_cut() -> None:
    raw = lines(*({"step": i, f"name{i}": 1.0} for i in range(MAX_NAMES * 3)))
    assert len(read_metrics(raw, most_points=100).curves) == MAX_CURVES


def test_reading_every_tenth_line_says_so_and_keeps_the_last_one() -> None:
    raw = lines(*({"step": i, "loss": float(i)} for i in range(95)))
    read = read_metrics(raw, most_points=100, every=10)
    assert list(read.curves["loss"].x) == [*(10 * i + 7 * i % 10 for i in range(10)), 94]
    assert read.notes == ("One line in 10 of metrics.jsonl was read.",)


def test_thinning_keeps_a_spike_of_one_point_in_ten_thousand() -> None:
    y = [1.0] * 10_000
    y[6_543] = 99.0
    x, kept = thinned(range(10_000), y, 100)
    assert x[kept.index(99.0)] == 6_543


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_ends_and_extremes_and_invents_nothing(y: list[float], most: int) -> None:
    x, kept = thinned(range(len(y)), y, most)
    assert len(kept) <= max(most, 4)
    assert (x[0], x[-1]) == (0, len(y) - 1)
    assert (min(kept), max(kept)) == (min(y), max(y))
    assert all(a < b for a, b in pairwise(x))
    assert all(y[int(at)] == value for at, value in zip(x, kept, strict=True))


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(raw: bytes) -> None:
    curves = read_metrics(raw, most_points=10).curves.values()
    assert all(len(curve.x) == len(curve.y) <= 10 for curve in curves)


def test_time_is_what_the_run_reports_else_when_its_steps_were_read() -> None:
    read_at = [{"attempt": 1, "source": "log", "step": s, "at_s": (s // 3) * 2.0} for s in range(9)]
    axes = read_metrics(lines(*({**one, "loss": 1} for one in read_at)), most_points=99).axes
    assert axes == {"time": ([0, 2, 5, 8], [0, 0, 2, 4])}
    own = [{**one, "_timestamp": 1.7e9 + step} for step, one in enumerate(read_at)]
    axes = read_metrics(lines(*own), most_points=99).axes
    assert axes["time"] == (list(range(9)), list(range(9)))


def test_what_is_read_again_later_does_not_move_a_step_in_time() -> None:
    live = [{"attempt": 1, "source": "log", "step": s, "at_s": s, "loss": 1} for s in range(4)]
    again = [{**one, "source": "trainer_state.json", "at_s": 9} for one in live]
    assert read_metrics(lines(*live, *again), most_points=99).axes == {
        "time": ([0, 1, 2, 3], [0, 1, 2, 3])
    }


def test_a_source_that_counts_steps_otherwise_says_no_time() -> None:
    log = [{"attempt": 1, "source": "log", "step": s, "at_s": s, "loss": 1} for s in range(4)]
    state = [{"source": "trainer_state.json", "step": 10 * s, "at_s": s // 2} for s in range(4)]
    state = [{"attempt": 1, "loss": 1, **one} for one in state]
    assert read_metrics(lines(*log, *state), most_points=99).axes == {
        "time": ([0, 10, 30], [0, 0, 1])
    }


def test_what_goes_back_is_no_axis() -> None:
    reports = [{"step": s, "epoch": s % 2, "loss": 1} for s in range(4)]
    assert read_metrics(lines(*reports), most_points=99).axes == {}
