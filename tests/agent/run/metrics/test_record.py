"""The run directory's metrics.jsonl: what was read, by source and attempt."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.run.metrics.record import MetricsRecord
from pytest_wf.agent.run.metrics.sources import RunMetrics

LINE = '{"attempt": 1, "source": "log", "step": 7, "acc": 0.5, "loss": 1.5}\n'


def wrote(path: Path, attempt: int, *reports: tuple[str, int | None, dict[str, Any]]) -> str:
    """The record after an attempt with these reports."""
    record = MetricsRecord(str(path), attempt)
    record.begin()
    for report in reports:
        record.take(*report)
    record.close()
    assert record.error == ""
    return path.read_text() if path.exists() else ""


def test_each_report_is_a_line_with_its_attempt_and_source(tmp_path: Path) -> None:
    values = {"loss": 1.5, "acc": 0.5}
    text = wrote(tmp_path / "record", 1, ("log", 7, values), ("x/metrics.csv", None, {"loss": 1}))
    assert text == LINE + '{"attempt": 1, "source": "x/metrics.csv", "loss": 1}\n'


def test_a_metric_with_the_name_of_a_key_is_no_part_of_the_line(tmp_path: Path) -> None:
    text = wrote(tmp_path / "record", 1, ("log", 7, {"source": 3.0, "attempt": 2.0, "loss": 1.5}))
    assert json.loads(text) == {"attempt": 1, "source": "log", "step": 7, "loss": 1.5}


def test_a_second_attempt_writes_behind_the_first_one(tmp_path: Path) -> None:
    (tmp_path / "record").write_text(LINE)
    text = wrote(tmp_path / "record", 2, ("log", 1, {"loss": 2.5}))
    assert text == LINE + '{"attempt": 2, "source": "log", "step": 1, "loss": 2.5}\n'


def test_an_attempt_that_is_read_again_replaces_its_own_lines(tmp_path: Path) -> None:
    own = LINE.replace("1,", "2,", 1)
    (tmp_path / "record").write_text(LINE + own + own[:20])
    text = wrote(tmp_path / "record", 2, ("log", 1, {"loss": 2.5}))
    assert [json.loads(line)["attempt"] for line in text.splitlines()] == [1, 2]


def test_a_line_that_was_cut_off_is_removed(tmp_path: Path) -> None:
    (tmp_path / "record").write_text(LINE + LINE[:30])
    assert wrote(tmp_path / "record", 2) == LINE


@pytest.mark.parametrize("text", ["", "kept\n", '{"loss": 1}\n', "{}" * 9])
def test_what_is_no_record_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "record").write_text(text)
    assert wrote(tmp_path / "record", 1, ("log", 7, {"loss": 1.5, "acc": 0.5})) == LINE


@pytest.mark.parametrize("make", ["symlink_to", "hardlink_to"])
def test_a_file_behind_a_link_is_not_written(tmp_path: Path, make: str) -> None:
    other = tmp_path / "other"
    other.write_text(LINE)
    getattr(tmp_path / "record", make)(other)
    wrote(tmp_path / "record", 2, ("log", 1, {"loss": 2.5}))
    assert other.read_text() == LINE


def test_what_a_run_reports_is_in_its_record_at_once(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    metrics = RunMetrics(str(tmp_path / "out"), MetricsRecord(str(path), 1))
    metrics.take_log("step 7: loss 1.5")
    metrics.update()
    assert path.read_text() == '{"attempt": 1, "source": "log", "step": 7, "loss": 1.5}\n'
    metrics.take_log("step 8: loss 1.25")
    metrics.finish()
    assert path.read_text().endswith('"step": 8, "loss": 1.25}\n')


def test_no_file_is_written_into_that_came_while_the_trainer_ran(tmp_path: Path) -> None:
    record = MetricsRecord(str(tmp_path / "record.jsonl"), 1)
    record.begin()
    (tmp_path / "record.jsonl").write_text("kept\n")
    record.take("log", 1, {"loss": 1.5})
    assert record.error
    assert (tmp_path / "record.jsonl").read_text() == "kept\n"


def test_after_an_error_nothing_more_is_written(tmp_path: Path) -> None:
    record = MetricsRecord(str(tmp_path / "absent" / "record.jsonl"), 1)
    record.take("log", 1, {"loss": 1.5})
    (tmp_path / "absent").mkdir()
    record.take("log", 2, {"loss": 1.5})
    record.flush()
    assert record.error
    assert not list((tmp_path / "absent").iterdir())


def test_a_report_has_the_time_since_the_attempt_began(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record = MetricsRecord(str(path), 1, time.monotonic() - 60)
    record.begin()
    record.take("log", 7, {"loss": 1.5, "at_s": 2.0})
    record.close()
    assert 60 <= json.loads(path.read_text())["at_s"] < 120
