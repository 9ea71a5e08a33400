"""Numbers from metrics.jsonl and from log lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics import LogNumbers, MetricsFile


@pytest.mark.parametrize(
    ("line", "step", "values"),
    [
        ("step 100: train loss 1.23, val loss 1.30", 100, {"train_loss": 1.23, "val_loss": 1.3}),
        ("iter 10: loss 2.1, time 3ms", 10, {"loss": 2.1, "time": 3}),
        ("iter 10: loss 2.1, time 3.5ms, mfu 12.5%", 10, {"loss": 2.1, "time": 3.5, "mfu": 12.5}),
        (
            "step:5/100 val_loss:3.28 train_time:99ms",
            5,
            {"val_loss": 3.28, "train_time": 99},
        ),
        ("Step 3 loss=1e-3", 3, {"loss": 0.001}),
    ],
)
def test_log_lines_give_numbers(line: str, step: int, values: dict[str, float]) -> None:
    found = LogNumbers()
    found.take(line)
    assert found.numbers.step == step
    assert found.numbers.last == values


@pytest.mark.parametrize("line", ["stepping out", "loss 1.0", "step", "the step 3: loss 1", ""])
def test_other_lines_give_none(line: str) -> None:
    found = LogNumbers()
    found.take(line)
    assert found.numbers.progress() is None


@given(st.text(max_size=300))
def test_no_line_is_too_odd(line: str) -> None:
    found = LogNumbers()
    found.take(line)
    found.take("step 1: " + line)
    told = found.numbers.summary()
    assert all(isinstance(name, str) for name in told)
    assert json.loads(json.dumps(told, allow_nan=False)) == told


@pytest.mark.timeout(60)
def test_a_long_line_is_not_searched_over_and_over() -> None:
    found = LogNumbers()
    for _ in range(20):
        found.take("step 1: " + "a " * 990)
    found.take("step 1: loss 0.5")
    assert found.numbers.points == 1


def test_the_last_value_of_each_number_counts(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    reader = MetricsFile(str(file))
    reader.update()
    with file.open("w") as f:
        f.write('{"step": 1, "loss": 3, "lr": 0.1}\n')
        f.flush()
        reader.update()
        f.write('{"step": 2, "lo')
        f.flush()
        reader.update()
        assert reader.numbers.summary() == {"step": 1, "loss": 3, "lr": 0.1}
        f.write('ss": 2.5}\n')
        f.flush()
        reader.update()
    assert reader.numbers.summary() == {"step": 2, "loss": 2.5, "lr": 0.1}


def test_what_is_no_number_is_dropped_and_nan_is_noted(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        "not json\n[1]\n"
        '{"step": 3, "loss": NaN, "big": 1e999, "name": "x", "on": true, "n": null}\n'
        '{"step": "x", "ok": 1}\n' + '{"deep": ' + "[" * 5000 + "\n" + '{"i": ' + "9" * 5000 + "}\n"
        '{"step": 4, "last": 1}'
    )
    reader = MetricsFile(str(file))
    reader.finish()
    assert reader.numbers.summary() == {
        "step": 4,
        "ok": 1,
        "last": 1,
        "loss": "nan",
        "big": "inf",
    }
    assert reader.numbers.dropped_names == {"loss": 1, "big": 1}


def test_a_loss_that_ends_as_nan_is_told_as_that_and_one_that_recovers_as_a_number(
    tmp_path: Path,
) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        '{"step": 1, "loss": 3.1, "norm": Infinity}\n'
        '{"step": 2, "loss": NaN, "norm": 0.5, "low": -Infinity}\n'
        '{"step": 3, "loss": null}\n'
    )
    reader = MetricsFile(str(file))
    reader.finish()
    assert reader.numbers.summary() == {"step": 3, "loss": "nan", "norm": 0.5, "low": "-inf"}


def test_a_file_begun_anew_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    reader = MetricsFile(str(file))
    file.write_text('{"step": 100, "loss": 1}\n{"step": 200, "loss": 0.5}\n')
    reader.update()
    file.write_text('{"step": 1, "loss": 9}\n')
    reader.update()
    assert reader.numbers.summary() == {"step": 1, "loss": 9}


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"step": 1, "loss": 9}\n')
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "elsewhere")
    reader = MetricsFile(str(tmp_path / "metrics.jsonl"))
    reader.finish()
    assert reader.numbers.progress() is None


def test_names_are_bounded() -> None:
    found = LogNumbers()
    for number in range(2000):
        found.numbers.take(number, {f"n{number}": 1, "x" * 1000: 1})
    assert len(found.numbers.last) == 256
    assert len(found.numbers.progress() or {}) == 9
