"""The reader of log lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics.log import lines
from pytest_wf.agent.run.metrics.log.lines import LogLines
from pytest_wf.agent.run.metrics.reader import Run


def reader_of(*texts: str) -> LogLines:
    """A reader that was given `texts`."""
    reader = LogLines(Run(""))
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
        ("step 1: loss 1,234.5", 1, {"loss": 1234.5}),
        ("step 1: tps: 12,345", 1, {"tps": 12345}),
        ("step 1.5k: loss 2", 1500, {"loss": 2}),
        ("step 1,200/5,000 loss 2", 1200, {"loss": 2}),
        ("step 7: train/loss 1, val/loss 2", 7, {"train/loss": 1, "val/loss": 2}),
        ("step 7: loss 1,acc 2;lr=3|eps 4", 7, {"loss": 1, "acc": 2, "lr": 3, "eps": 4}),
        ("step 7: speed 1.2M tok/s loss 3", 7, {"speed": 1.2e6, "loss": 3}),
        ("step 7 (loss 0.5) [lr 0.1]", 7, {"loss": 0.5, "lr": 0.1}),
        ("step 7: accuracy 3/10, part 3/10", 7, {"accuracy": 0.3}),
        ("step 7: time 5 s loss    2", 7, {"time": 5, "loss": 2}),
        ("step 7: \x1b[32mloss 1.5\x1b[0m", 7, {"loss": 1.5}),
        ("step 7: loss nan lr 3", 7, {"loss": "nan", "lr": 3}),
        ("step 7: loss NaN, norm -inf", 7, {"loss": "nan", "norm": "-inf"}),
        ("step 7: val loss None", 7, {"val_loss": "nan"}),
    ],
)
def test_a_line_with_a_step_gives_metrics(line: str, step: int, values: dict[str, float]) -> None:
    assert reader_of(line).values.summary() == {"step": step, **values}


@pytest.mark.parametrize("line", ["stepping out", "loss 1", "step", "step 3", "epoch 1/3", ""])
def test_a_line_without_a_metric_is_no_report(line: str) -> None:
    assert reader_of(line).values.progress() is None


@pytest.mark.parametrize(
    "value",
    [
        *("1,5", "1 234.5", "1 234", "1\u00a0234.5", "12abc", "1.2.3", "10.0.0.1", "2026-11-28"),
        *("12:30", "3/10", "3 / 10", "0x1f", "12 k", "1.2 M tok/s", "1.5 * 10", "1.5 \u00d7 10^3"),
        *("0.9,0.95", "[1.0, 2.0]", "1.5...", "~3", "\u22123"),
        *("12 million", "1.2 billion tokens", "12 Mio", "1.2 e-5", "3 E5", "1 \u00bd"),
        *("3 ktok/s", "3 Mtok/s", "3 k/s", "45 of 50", "45 out of 50"),
        *("3 hours 12 minutes", "12 min 3 s", "1 h and 30 min", "1h 30m", "1m 30s"),
        *("1 day, 3:04:05", "2 days 01:02:03", "1.2 -> 1.1", "1.2 --> 1.1", "1.2 \u2192 1.1"),
        *("12.3 / 80.0 GB", "12.3 * 2 ms"),
    ],
)
def test_a_value_that_is_no_whole_number_is_not_taken_in_part(value: str) -> None:
    assert reader_of(f"step 1: loss {value}").values.summary() == {}
    assert reader_of(f"step 1: loss {value} | lr 2").values.summary() == {"step": 1, "lr": 2}


def test_a_name_that_a_line_has_twice_is_not_taken_where_its_values_differ() -> None:
    line = "step 7: old: loss 1.2, acc 0.4, lr 1 | new: loss 1.4, acc 0.3, lr 1"
    assert reader_of(line).values.summary() == {"step": 7, "lr": 1}
    assert reader_of("step 7: loss 1.2 | val: loss 1.4").values.progress() is None
    assert reader_of("step 7: val a: loss 1.2 | val b: loss 1.4").values.progress() is None


def test_a_name_that_a_line_has_for_several_parts_of_the_data_is_a_metric_of_each() -> None:
    summary = reader_of("step 7: train: loss 1.2, lr 1 | val: loss 1.4, lr 2").values.summary()
    assert summary == {
        "step": 7,
        "train/loss": 1.2,
        "train/lr": 1,
        "val/loss": 1.4,
        "val/lr": 2,
    }


@pytest.mark.parametrize("name", ["accum", "accumulation", "accelerator"])
def test_a_ratio_behind_another_name_than_that_of_an_accuracy_is_not_taken(name: str) -> None:
    assert reader_of(f"step 7: {name} 3/4, val_acc 3/4").values.summary() == {
        "step": 7,
        "val_acc": 0.75,
    }


def test_a_range_of_thresholds_belongs_to_the_name_of_its_metric() -> None:
    summary = reader_of("step 7: mAP@0.5 0.6, mAP@0.5:0.95 0.3, mAP@0.75: 0.4").values.summary()
    assert summary == {"step": 7, "mAP@0.5": 0.6, "mAP@0.5:0.95": 0.3, "mAP@0.75": 0.4}


def test_a_range_of_thresholds_without_a_value_is_no_value() -> None:
    assert reader_of("the names mAP@0.5:0.95 and mAP@.5:.95 are COCO's").values.summary() == {}


def test_a_value_before_its_name_is_not_taken() -> None:
    summary = reader_of("step 7 | 1.2M tok/s | 35 tok/s lr 2").values.summary()
    assert summary == {"step": 7, "lr": 2}


@pytest.mark.parametrize("step", ["12:30", "1.5", "-3", "1,5", "3abc", "1.2.3", "1 500"])
def test_a_line_whose_step_is_no_whole_number_is_not_read(step: str) -> None:
    assert reader_of(f"step {step} loss 1").values.summary() == {}


@given(st.floats(-1e300, 1e300), st.floats(0, 1e12))
def test_each_number_of_a_line_is_read_as_it_was_written(one: float, two: float) -> None:
    line = f"step 3: train loss {one!r}, val/loss={two:,.3f} | lr: {one:.4e} tok/s {two:.1f}"
    assert reader_of(line).values.summary() == {
        "step": 3,
        "train_loss": one,
        "val/loss": float(f"{two:.3f}"),
        "lr": float(f"{one:.4e}"),
        "tok/s": float(f"{two:.1f}"),
    }


@given(st.text(max_size=300))
def test_any_line_gives_valid_metrics_or_none(line: str) -> None:
    summary = reader_of(line, "step 1: " + line).values.summary()
    assert all(isinstance(name, str) for name in summary)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


@pytest.mark.timeout(60)
def test_a_long_line_is_not_searched_over_and_over() -> None:
    reader = reader_of(*["step 1: " + "a " * 990] * 20, "step 1: loss 0.5")
    assert reader.values.points == 1


def test_shapes_that_are_forgotten_are_learnt_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_MAX_BYTES", 128)
    text = [f"step {n}: loss_{'g' * (n % 30)} {n}.5\nshard {'x' * n} 5" for n in range(90)] * 2
    reader = reader_of(*text)
    assert reader.values.points == 180
    assert sum(map(len, [*reader._forms, *reader._others])) <= 2 * 128


def test_each_line_of_a_text_is_read() -> None:
    assert reader_of("starting\nstep 1: loss 3\nsaved\nstep 2: loss 2").values.points == 2


def test_a_line_may_say_how_many_steps_there_will_be() -> None:
    found = reader_of("step 3/100: train loss 2.5").values
    assert (found.step, found.total_steps) == (3, 100)


def steps_of(*lines: str) -> list[int | None]:
    """The step of each report."""
    reader, steps = LogLines(Run("")), []
    reader.values.on_report = lambda step, _: steps.append(step)
    for line in lines:
        reader.take_log(line)
    return steps


def test_steps_that_begin_anew_with_each_epoch_count_on() -> None:
    lines = [f"Epoch: [{epoch}][{at}/100] loss 2.5" for epoch in (0, 1) for at in (10, 90)]
    assert steps_of(*lines) == [10, 90, 110, 190]
    keras = ("Epoch 1/2", "8/8 [==] - loss: 2.5", "Epoch 2/2", "8/8 [==] - loss: 2.4")
    assert steps_of(*keras) == [8, 16]
    assert reader_of(*keras).values.total_steps == 16


def test_a_line_that_says_a_step_and_nothing_else_gives_it_to_the_lines_behind() -> None:
    block = ("[step={}/100,epoch=0]", "    train/loss=2.5", "    train/acc=0.5")
    lines = [line.format(at) for at in (10, 20) for line in block]
    assert steps_of(*lines) == [10, 10, 20, 20]
    assert steps_of("=== Step 7 ===", "loss: 2.5") == [7]
    assert steps_of("Total steps: 1000", "Step 1: load the data", "loss: 2.5") == [1]


def test_steps_of_the_whole_run_stay_as_they_are() -> None:
    assert steps_of("step 19/40, global step 425: loss 2.5") == [425]
    assert steps_of("epoch 1 step 90: loss 2", "epoch 2 step 110: loss 2") == [90, 110]
    bars = [f"25%|##  | {at}/200 [00:01<00:04, 7.9it/s, loss=2.5]" for at in (50, 50, 100, 100)]
    bars[1] += "epoch 0: {'eval_loss': 2.6}"
    bars[3] += "epoch 1: {'eval_loss': 2.6}"
    assert steps_of(*bars) == [50, 50, 100, 100]


def test_a_report_without_a_step_has_that_of_the_report_before() -> None:
    assert steps_of("step 3: loss 2.5", "val loss 2.6", "epoch 1: val acc 0.5") == [3, 3, 3]


@pytest.mark.parametrize(
    "line", ["Test: [1/10] loss 2.6", "val step 1/10: loss 2.6", "[Val] Epoch 0 [1/10] loss 2.6"]
)
def test_a_validation_does_not_set_the_step(line: str) -> None:
    assert steps_of("[30/40] loss 2.5", line) == [30, 30]


def test_where_no_line_has_a_step_the_epoch_counts_else_the_reports() -> None:
    assert steps_of("epoch 2: loss 2.5", "epoch 3/4: loss 2.4") == [2, 3]
    block = ("Epoch {}/4", "train loss: 2.5", "val loss: 2.6")
    assert steps_of(*(line.format(at) for at in (1, 2) for line in block)) == [1, 1, 2, 2]
    assert steps_of("{'loss': 2.5, 'epoch': 0.5}", "{'loss': 2.4, 'epoch': 1.0}") == [1, 2]


def test_the_epoch_of_a_report_is_one_of_its_metrics() -> None:
    assert reader_of("{'loss': 2.5, 'epoch': 0.5}").values.summary() == {
        "step": 1,
        "loss": 2.5,
        "epoch": 0.5,
    }


@pytest.mark.parametrize(
    "line",
    [
        "step\uff1a5\uff0closs\uff1a0.5\uff0cacc 0.25",
        "step\u00a05\u00a0loss\u00a00.5\u00a0acc 0.25",
    ],
)
def test_blanks_and_marks_of_other_keyboards_are_read(line: str) -> None:
    assert reader_of(line).values.summary() == {"step": 5, "loss": 0.5, "acc": 0.25}


@pytest.mark.parametrize("word", ["Validating", "Evaluating", "Testing", "Validation", "Eval"])
def test_the_bar_of_a_validation_is_not_that_of_the_training(word: str) -> None:
    bars = (
        "Training: 100%|##| 90/90 [00:10, loss=0.5]\n" + word + ": 100%|##| 20/20 [00:01, acc=0.25]"
    )
    values = reader_of(bars).values
    assert (values.step, values.total_steps) == (90, 90)
    assert values.summary()["acc"] == 0.25
