"""The reader of log lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics.log_lines import LogLines


def reader_of(*texts: str) -> LogLines:
    """A reader that was given `texts`."""
    reader = LogLines("")
    for text in texts:
        reader.take_log(text)
    return reader


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
def test_a_line_that_begins_with_a_step_gives_metrics(
    line: str, step: int, values: dict[str, float]
) -> None:
    found = reader_of(line).values
    assert (found.step, found.last) == (step, values)


@pytest.mark.parametrize("line", ["stepping out", "loss 1.0", "step", "the step 3: loss 1", ""])
def test_other_lines_give_none(line: str) -> None:
    assert reader_of(line).values.progress() is None


@given(st.text(max_size=300))
def test_any_line_gives_valid_metrics_or_none(line: str) -> None:
    summary = reader_of(line, "step 1: " + line).values.summary()
    assert all(isinstance(name, str) for name in summary)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


@pytest.mark.timeout(60)
def test_a_long_line_is_not_searched_over_and_over() -> None:
    reader = reader_of(*["step 1: " + "a " * 990] * 20, "step 1: loss 0.5")
    assert reader.values.points == 1


def test_each_line_of_a_text_is_read() -> None:
    assert reader_of("starting\nstep 1: loss 3\nsaved\nstep 2: loss 2").values.points == 2


def test_a_line_may_say_how_many_steps_there_will_be() -> None:
    found = reader_of("step 3/100: train loss 2.5").values
    assert (found.step, found.total_steps) == (3, 100)
