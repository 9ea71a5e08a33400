"""The run directory's metrics.jsonl: what was read, by the source that counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_wf.agent.run.metrics.record import MetricsRecord
from pytest_wf.agent.run.metrics.sources import RunMetrics


@pytest.fixture
def record(tmp_path: Path) -> Iterator[MetricsRecord]:
    """A record that is written to record.jsonl."""
    made = MetricsRecord(str(tmp_path / "record.jsonl"))
    yield made
    made.close()


def test_the_record_has_each_report_in_one_line_with_its_names_in_order(
    tmp_path: Path, record: MetricsRecord
) -> None:
    record.take(1, 7, {"loss": 1.5, "acc": 0.5})
    record.take(1, None, {"loss": 1.25})
    record.flush()
    lines = (tmp_path / "record.jsonl").read_text().splitlines()
    assert lines == ['{"acc": 0.5, "loss": 1.5, "step": 7}', '{"loss": 1.25}']


def test_the_record_begins_anew_with_a_source_that_counts_before_the_one_so_far(
    tmp_path: Path, record: MetricsRecord
) -> None:
    record.take(1, 1, {"loss": 1.5})
    record.flush()
    record.take(0, 1, {"loss": 2.5})
    record.take(1, 2, {"loss": 3.5})
    record.flush()
    assert (tmp_path / "record.jsonl").read_bytes() == b'{"loss": 2.5, "step": 1}\n'


def test_what_a_run_reports_is_in_its_record_at_once(tmp_path: Path, record: MetricsRecord) -> None:
    metrics = RunMetrics(str(tmp_path), record)
    metrics.take_log("step 7: loss 1.5")
    metrics.update()
    assert (tmp_path / "record.jsonl").read_text() == '{"loss": 1.5, "step": 7}\n'
    metrics.take_log("step 8: loss 1.25")
    metrics.finish()
    assert (tmp_path / "record.jsonl").read_text().endswith('{"loss": 1.25, "step": 8}\n')


def test_no_file_of_another_is_written_into(tmp_path: Path, record: MetricsRecord) -> None:
    (tmp_path / "record.jsonl").write_text("kept\n")
    record.take(0, 1, {"loss": 1.5})
    assert record.error
    assert (tmp_path / "record.jsonl").read_text() == "kept\n"


def test_after_an_error_nothing_more_is_written(tmp_path: Path) -> None:
    record = MetricsRecord(str(tmp_path / "absent" / "record.jsonl"))
    record.take(0, 1, {"loss": 1.5})
    (tmp_path / "absent").mkdir()
    record.take(0, 2, {"loss": 1.5})
    record.flush()
    assert record.error
    assert not list((tmp_path / "absent").iterdir())
