"""The sources of a run's metrics: the first one that reports any counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.agent.run.metrics import sources
from pytest_wf.agent.run.metrics.reader import MetricReader
from pytest_wf.agent.run.metrics.sources import READERS, RunMetrics
from pytest_wf.agent.run.metrics.values import MetricValues


def test_a_file_counts_before_the_log(tmp_path: Path) -> None:
    metrics = RunMetrics(str(tmp_path))
    assert metrics.values.summary() == {}
    metrics.take_log("step 7/100: loss 1.5")
    assert metrics.values.summary() == {"step": 7, "loss": 1.5}
    (tmp_path / "metrics.jsonl").write_text('{"step": 8, "loss": 1.25}')
    metrics.finish()
    assert metrics.values.summary() == {"step": 8, "loss": 1.25}
    assert metrics.total_steps == 100, "the file does not say it, and the log does"


class Exam:
    """A reader of another make: a file with one number."""

    def __init__(self, out_dir: str) -> None:
        self._path = Path(out_dir, "exam.txt")
        self.values = MetricValues()

    def take_log(self, text: str) -> None:
        """Ignore the log."""

    def update(self) -> None:
        """Wait for the end."""

    def finish(self) -> None:
        """Read the mark."""
        self.values.take(None, {"mark": float(self._path.read_text())})


def test_a_reader_is_added_by_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader: type[MetricReader] = Exam
    monkeypatch.setattr(sources, "READERS", (reader, *READERS))
    (tmp_path / "exam.txt").write_text("4.5")
    metrics = RunMetrics(str(tmp_path))
    metrics.finish()
    assert metrics.values.summary() == {"mark": 4.5}
