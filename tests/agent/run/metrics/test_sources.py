"""The sources of a run's metrics: for each metric the first one that has it counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_wf.agent.run.metrics import sources
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.agent.run.metrics.record import MetricsRecord
from pytest_wf.agent.run.metrics.sources import READERS, RunMetrics


@pytest.fixture
def metrics(tmp_path: Path) -> Iterator[RunMetrics]:
    """Those of a run that writes to out/."""
    (tmp_path / "out").mkdir()
    record = MetricsRecord(str(tmp_path / "record"), 1)
    yield RunMetrics(str(tmp_path / "out"), record)
    record.close()


def write(out: Path, name: str, value: object) -> None:
    """A file that a trainer wrote."""
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text(value if isinstance(value, str) else json.dumps(value))


def test_two_sources_each_bring_what_the_other_lacks(tmp_path: Path, metrics: RunMetrics) -> None:
    assert metrics.values.summary() == {}
    metrics.take_log("step 7/100: Loss 1.5, lr 0.1")
    assert metrics.values.summary() == {"step": 7, "Loss": 1.5, "lr": 0.1}
    write(tmp_path / "out", "metrics.jsonl", '{"step": 8, "loss": 1.25, "acc": 0.5}')
    metrics.finish()
    found = metrics.values
    assert found.summary() == {"step": 8, "loss": 1.25, "acc": 0.5, "lr": 0.1}
    assert found.sources == {"loss": "metrics.jsonl", "acc": "metrics.jsonl", "lr": "log"}
    assert found.extremes()["loss"].max == 1.25, "1.5 is of a source that does not count"
    assert found.total_steps == 100, "the file does not say it, and the log does"
    assert found.points == 2


def test_the_record_has_the_reports_of_all_sources(tmp_path: Path, metrics: RunMetrics) -> None:
    metrics.take_log("step 7: loss 1.5")
    write(tmp_path / "out", "metrics.jsonl", '{"step": 8, "loss": 1.25}')
    metrics.finish()
    lines = [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()]
    assert [line["source"] for line in lines] == ["log", "metrics.jsonl"]


def test_while_a_row_runs_the_log_is_ahead_of_files_that_come_late(
    tmp_path: Path, metrics: RunMetrics
) -> None:
    state = {
        "global_step": 500,
        "max_steps": 1000,
        "epoch": 0.5,
        "log_history": [{"step": 500, "epoch": 0.5, "loss": 2.5, "eval_loss": 3.0}],
    }
    write(tmp_path / "out", "checkpoint-500/trainer_state.json", state)
    metrics.update()
    metrics.take_log("{'loss': '2.25', 'epoch': '0.75'}")
    live = metrics.live_values
    assert live.progress() == {"step": 750, "loss": 2.25, "eval_loss": 3.0, "epoch": 0.75}
    assert live.total_steps == 1000
    assert metrics.values.summary()["loss"] == 2.5


def test_while_a_row_runs_its_step_is_the_furthest_but_for_its_own_file(
    tmp_path: Path, metrics: RunMetrics
) -> None:
    write(tmp_path / "out", "metrics.csv", "step,epoch,loss\n149,2,1.5\n")
    metrics.update()
    metrics.take_log("Epoch 2 | acc 0.5")
    assert metrics.live_values.progress() == {"step": 149, "acc": 0.5, "epoch": 2, "loss": 1.5}
    write(tmp_path / "out", "metrics.jsonl", '{"step": 7, "loss": 1.25}\n')
    metrics.update()
    assert metrics.live_values.step == 7


def test_what_an_earlier_attempt_left_does_not_count(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "metrics.jsonl", '{"step": 1, "loss": 0.1}\n')
    write(out, "trainer_state.json", {"log_history": [{"step": 1, "acc": 0.9}]})
    write(out, "metrics.csv", "step,reward\n1,9.5\n")
    write(out, "all_results.json", {"eval_loss": 0.1})
    first, second = RunMetrics(str(out)), RunMetrics(str(out))
    first.files.begin(str(tmp_path / "left.json"))
    second.files.begun(str(tmp_path / "left.json"))
    for metrics in (first, second):
        metrics.finish()
        assert metrics.values.summary() == {}
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "loss": 0.5}\n')
    with (out / "metrics.csv").open("a") as file:
        file.write("2,1.5\n")
    write(out, "trainer_state.json", {"log_history": [{"step": 1, "acc": 0.5}]})
    os.utime(out / "trainer_state.json", (1, 1))
    for metrics in (first, second):
        metrics.finish()
        found = metrics.values
        assert found.summary() == {"step": 2, "loss": 0.5, "acc": 0.5, "reward": 1.5}
        assert found.extremes()["loss"].min == 0.5


class Exam(MetricReader):
    """A reader of another make: a file with one number."""

    def __init__(self, run: Run) -> None:
        self._path = Path(run.files.out_dir, "exam.txt")
        self._values = run.values("exam.txt")

    def found(self) -> Sequence[Found]:
        """The mark."""
        return [("exam.txt", self._values)]

    def update(self) -> None:
        """Read the mark."""
        self._values.take(None, {"mark": float(self._path.read_text())})


def test_a_reader_is_added_by_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "READERS", (Exam, *READERS))
    (tmp_path / "exam.txt").write_text("4.5")
    metrics = RunMetrics(str(tmp_path))
    metrics.finish()
    assert metrics.values.summary() == {"mark": 4.5}
    assert metrics.values.sources == {"mark": "exam.txt"}


def test_a_table_of_epochs_does_not_set_back_the_step_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,val_loss\n0,1.5\n1,1.25\n")
    metrics = RunMetrics(str(tmp_path))
    metrics.take_log("step 300: loss 0.5\n")
    metrics.finish()
    assert metrics.values.summary() == {"step": 300, "epoch": 1, "val_loss": 1.25, "loss": 0.5}
