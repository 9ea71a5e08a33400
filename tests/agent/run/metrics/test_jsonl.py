"""The reader of metrics.jsonl: each line once, as it grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.agent.run.metrics.jsonl import JsonLines
from pytest_wf.agent.run.metrics.reader import Run


def test_the_last_value_of_each_number_counts(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    reader = JsonLines(Run(str(tmp_path)))
    reader.update()
    with file.open("w") as f:
        f.write('{"step": 1, "loss": 3, "lr": 0.1}\n')
        f.flush()
        reader.update()
        f.write('{"step": 2, "lo')
        f.flush()
        reader.update()
        assert reader.values.summary() == {"step": 1, "loss": 3, "lr": 0.1}
        f.write('ss": 2.5}\n')
        f.flush()
        reader.update()
    assert reader.values.summary() == {"step": 2, "loss": 2.5, "lr": 0.1}


def test_a_value_that_is_no_number_is_left_out_and_null_is_nan(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        "not json\n[1]\n"
        '{"step": 3, "loss": NaN, "big": 1e999, "name": "x", "on": true, "n": null}\n'
        '{"step": "x", "ok": 1}\n' + '{"deep": ' + "[" * 5000 + "\n" + '{"i": ' + "9" * 5000 + "}\n"
        '{"step": 4, "last": 1}'
    )
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.summary() == {
        "step": 4,
        "ok": 1,
        "last": 1,
        "loss": "nan",
        "big": "inf",
        "n": "nan",
    }


def test_a_loss_whose_last_value_is_nan_is_nan_and_one_that_recovers_is_a_number(
    tmp_path: Path,
) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(
        '{"step": 1, "loss": 3.1, "norm": Infinity}\n'
        '{"step": 2, "loss": NaN, "norm": 0.5, "low": -Infinity}\n'
        '{"step": 3, "loss": null}\n'
    )
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.summary() == {"step": 3, "loss": "nan", "norm": 0.5, "low": "-inf"}


@pytest.mark.parametrize(
    "value",
    [
        *('"NaN"', '"nan"', "null", "NaN", "nan", "-nan(ind)", "1.#QNAN", '"diverged"', "[1]"),
        *("None", "NULL", "undefined"),
    ],
)
def test_an_older_number_does_not_stand_for_a_last_value_that_is_none(
    tmp_path: Path, value: str
) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"loss": 1.5}}\n{{"loss": {value}, "lr": 1}}\n')
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.summary() == {"loss": "nan", "lr": 1}
    assert reader.values.extremes()["loss"].min == 1.5


def test_a_number_in_quotes_is_taken_whole_or_not(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"a": "1,234.5", "b": "12:30", "c": "-Infinity"}\n')
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.summary() == {"a": 1234.5, "c": "-inf"}


def test_a_truncated_file_is_read_from_its_start(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    reader = JsonLines(Run(str(tmp_path)))
    file.write_text('{"step": 100, "loss": 1}\n{"step": 200, "loss": 0.5}\n')
    reader.update()
    file.write_text('{"step": 1, "loss": 9}\n')
    reader.update()
    assert reader.values.summary() == {"step": 1, "loss": 9}


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"step": 1, "loss": 9}\n')
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "elsewhere")
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.progress() is None


def test_a_byte_order_mark_does_not_hide_the_first_report(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('\ufeff{"step": 1, "loss": 3}\n', encoding="utf-8")
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.summary() == {"step": 1, "loss": 3}


@pytest.mark.parametrize(
    "text",
    [
        '{"step": 1, "loss": 0.5}{"step": 2, "loss": 0.25}\n',
        '[{"step": 1, "loss": nan}, {"step": 2, "loss": 0.25}]\n',
        '{"step": 1, "loss": 0.5},\n{"step": 2, "loss": 0.25},\n',
        '\x1e{"step": 1, "loss": 0.5}\n\0\0\0{"step": 2, "loss": 0.25}\n',
        '{"step": 1, "loss": 1}\n{"step": 2, "loss": 0.25}{"step": 3, "lo{"step": 4, "loss": 9}\n',
    ],
)
def test_each_whole_object_of_a_line_is_a_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(text)
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.points == 2
    assert reader.values.summary() == {"step": 2, "loss": 0.25}


@pytest.mark.parametrize("total", ["-5", "0", "1e300"])
def test_a_total_that_no_run_has_is_not_told_as_the_number_of_steps(
    tmp_path: Path, total: str
) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "max_steps": {total}}}\n')
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.total_steps is None


def test_numbers_of_an_object_within_a_report_have_its_name(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "val": {"loss": 2.5, "top": {"1": 0.5}}}')
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert reader.values.summary() == {"step": 3, "val/loss": 2.5, "val/top/1": 0.5}


@pytest.mark.parametrize(
    ("reports", "step"),
    [
        ('{"global_step": "200", "loss": 1}', 200),
        ('{"Iteration": 200, "epoch": 3, "loss": 1}', 200),
        ('{"epoch": 3, "loss": 1}', 3),
        ('{"_step": 200, "loss": 2}\n{"epoch": 3, "loss": 1}', 200),
    ],
)
def test_a_report_says_its_step_in_its_trainer_s_way(
    tmp_path: Path, reports: str, step: int
) -> None:
    (tmp_path / "metrics.jsonl").write_text(reports)
    reader = JsonLines(Run(str(tmp_path)))
    reader.finish()
    assert (reader.values.step, reader.values.summary()["loss"]) == (step, 1)


def test_a_report_that_is_read_again_as_its_file_was_written_anew_is_counted_once(
    tmp_path: Path,
) -> None:
    file = tmp_path / "metrics.jsonl"
    reader = JsonLines(Run(str(tmp_path)))
    one, two, three = (f'{{"step": {n}, "loss": {v}}}\n' for n, v in enumerate(("NaN", 2, 1)))
    for content in (one + two, one, one + two + three):
        file.write_text(content)
        reader.update()
    assert reader.values.oddities() == ["loss: 1, not finite in 1 of 3 reports"]
    file.write_text('{"step": 1, "norm": NaN}\n')
    reader.finish()
    assert "norm: nan, not finite in 1 of 1 reports" in reader.values.oddities()
