"""Files as trainers' libraries write them: trainer_state.json, metrics.csv, results."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics.merge import MergedValues
from pytest_wf.agent.run.metrics.sources import NAMES, RunMetrics

# as transformers 5 writes it, shortened
STATE: dict[str, Any] = {
    "best_global_step": None,
    "best_metric": None,
    "best_model_checkpoint": None,
    "epoch": 1.0,
    "eval_steps": 500,
    "global_step": 4,
    "is_hyper_param_search": False,
    "is_local_process_zero": True,
    "log_history": [
        {"epoch": 0.5, "grad_norm": 1.5, "learning_rate": 5e-05, "loss": 2.5, "step": 2},
        {"epoch": 1.0, "grad_norm": 1.25, "learning_rate": 2.5e-05, "loss": 2.25, "step": 4},
        {"epoch": 1.0, "eval_loss": 2.0, "eval_runtime": 0.5, "step": 4},
    ],
    "logging_steps": 2,
    "max_steps": 8,
    "num_train_epochs": 2,
    "stateful_callbacks": {"TrainerControl": {"args": {"should_log": False}, "attributes": {}}},
    "trial_name": None,
}
# as lightning 2.6 writes it: with \r\n, and anew when columns are added
TABLE = "epoch,step,train_loss\r\n0,1,2.5\r\n0,3,2.25\r\n"
WIDER = "epoch,step,train_loss,val_loss\r\n0,1,2.5,\r\n0,3,2.25,\r\n0,3,,2.0\r\n1,5,nan,\r\n"


def write(path: Path, text: object, at: int = 0) -> None:
    """A file that was written at a time, in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    if at:
        os.utime(path, (at, at))


def read(out: Path, *log: str) -> MergedValues:
    """What is found at the end of a run."""
    metrics = RunMetrics(str(out))
    for line in log:
        metrics.take_log(line)
    metrics.finish()
    return metrics.values


def test_a_trainer_state_has_curves_step_and_total(tmp_path: Path) -> None:
    write(tmp_path / "trainer_state.json", STATE)
    found = read(tmp_path)
    assert found.summary() == {
        "step": 4,
        "loss": 2.25,
        "grad_norm": 1.25,
        "learning_rate": 2.5e-05,
        "epoch": 1.0,
        "eval_loss": 2.0,
        "eval_runtime": 0.5,
    }
    assert found.total_steps == 8
    loss = found.extremes()["loss"]
    assert (loss.max, loss.max_step, loss.min, loss.min_step) == (2.5, 2, 2.25, 4)


def test_of_several_states_the_one_that_was_written_last_counts(tmp_path: Path) -> None:
    later = {**STATE, "global_step": 8, "log_history": [{"step": 8, "loss": 1.5}]}
    write(tmp_path / "checkpoint-8" / "trainer_state.json", later, at=20)
    write(tmp_path / "checkpoint-4" / "trainer_state.json", STATE, at=10)
    assert read(tmp_path).summary() == {"step": 8, "loss": 1.5}
    write(tmp_path / "trainer_state.json", STATE, at=20)
    assert read(tmp_path).summary()["loss"] == 2.25, "of the same time: the one in out_dir"


@pytest.mark.parametrize(
    "text",
    ["", json.dumps(STATE)[:300], "[1]", "[" * 9999, '{"log_history": 3}', "\0\0", '{"log_hi'],
)
def test_half_a_state_leaves_the_one_before_it(tmp_path: Path, text: str) -> None:
    write(tmp_path / "checkpoint-4" / "trainer_state.json", STATE, at=10)
    write(tmp_path / "checkpoint-8" / "trainer_state.json", text, at=20)
    assert read(tmp_path).summary()["loss"] == 2.25


def test_a_history_of_odd_things_gives_its_numbers(tmp_path: Path) -> None:
    history = [7, None, {"step": "x", "loss": [1], "a": {"b": 1}}, {"step": 2.0, "loss": 1.5}]
    text = json.dumps({"log_history": history})[:-2] + ', {"step": 3, "loss": NaN}]}'
    write(tmp_path / "trainer_state.json", text)
    assert read(tmp_path).summary() == {"step": 3, "loss": "nan"}


def test_a_growing_history_is_taken_once_and_another_one_begins_anew(tmp_path: Path) -> None:
    metrics = RunMetrics(str(tmp_path))
    write(tmp_path / "checkpoint-4" / "trainer_state.json", STATE, at=10)
    metrics.finish()
    longer = {**STATE, "log_history": [*STATE["log_history"], {"step": 6, "loss": 2.0}]}
    write(tmp_path / "checkpoint-6" / "trainer_state.json", longer, at=20)
    metrics.finish()
    assert metrics.values.points == 4
    write(tmp_path / "checkpoint-8" / "trainer_state.json", {"log_history": [{"loss": 9}]}, at=30)
    metrics.finish()
    assert metrics.values.summary() == {"loss": 9}


def test_a_log_line_that_says_the_epoch_alone_gets_its_step_from_the_state(tmp_path: Path) -> None:
    metrics = RunMetrics(str(tmp_path))
    write(tmp_path / "checkpoint-4" / "trainer_state.json", STATE)
    metrics.update()
    metrics.take_log("{'train_runtime': '3.5', 'epoch': '2'}")
    metrics.finish()
    assert metrics.values.extremes()["train_runtime"].step == 8


def test_results_fill_in_what_no_curve_has(tmp_path: Path) -> None:
    write(tmp_path / "trainer_state.json", STATE)
    results = {"epoch": 1.0, "eval_loss": 1.75, "eval_samples": 100, "model": "x", "deep": {}}
    write(tmp_path / "all_results.json", results)
    write(tmp_path / "eval_results.json", {"eval_samples": 7, "perplexity": 7.5})
    found = read(tmp_path)
    assert found.sources["eval_samples"] == "all_results.json"
    assert found.sources["perplexity"] == "eval_results.json"
    assert found.summary()["eval_loss"] == 2.0
    assert found.extremes()["eval_samples"].step == 4, "by the epoch"


def test_a_table_has_sparse_columns_and_may_get_more_of_them(tmp_path: Path) -> None:
    metrics = RunMetrics(str(tmp_path))
    source = "lightning_logs/version_0/metrics.csv"
    write(tmp_path / source, TABLE)
    metrics.update()
    assert metrics.values.summary() == {"step": 3, "epoch": 0, "train_loss": 2.25}
    write(tmp_path / source, WIDER)
    metrics.finish()
    found = metrics.values
    assert found.summary() == {"step": 5, "epoch": 1, "train_loss": "nan", "val_loss": 2.0}
    assert set(found.sources.values()) == {source}
    assert found.points == 4
    assert found.oddities() == ["train_loss: nan, not finite in 1 of 3 reports"]


def test_a_table_without_steps_has_them_by_epoch(tmp_path: Path) -> None:
    # as Ultralytics writes it
    write(tmp_path / "results.csv", "   epoch,  train/box_loss\n  1,  1.5\n  2,  1.25\n")
    assert read(tmp_path).summary() == {"step": 2, "epoch": 2, "train/box_loss": 1.25}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "step",
        "step\n",
        "id,label\n1,2\n",
        "step,loss\n1\n1,2,3\n,\n",
        "\0\n\0",
        '"step,loss\n1,2',
    ],
)
def test_what_is_no_table_of_steps_says_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path / "metrics.csv", text)
    assert read(tmp_path).summary() == {}


def test_of_several_tables_the_one_that_was_written_last_counts(tmp_path: Path) -> None:
    write(tmp_path / "seed0" / "metrics.csv", "step,loss,old\n9,1.5,3\n", at=10)
    write(tmp_path / "seed1" / "metrics.csv", "step,loss\n8,2.5\n", at=20)
    found = read(tmp_path)
    assert found.summary() == {"step": 8, "loss": 2.5, "old": 3}
    assert found.sources == {"loss": "seed1/metrics.csv", "old": "seed0/metrics.csv"}


@pytest.mark.parametrize("name", ["metrics.csv", "trainer_state.json", "all_results.json"])
def test_a_link_and_a_pipe_are_not_read(tmp_path: Path, name: str) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    write(other / name, TABLE if name == "metrics.csv" else {**STATE, "eval_loss": 1})
    assert read(other).points
    out.mkdir()
    (out / name).symlink_to(other / name)
    (out / "folder").symlink_to(other)
    (out / "loop").symlink_to(out)
    (out / "x").mkdir()
    os.mkfifo(out / "x" / name)
    assert read(out).points == 0
    (tmp_path / "linked").symlink_to(other)
    assert read(tmp_path / "linked").points == 0


def test_the_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "1/2/3/4/5/metrics.csv", TABLE)
    write(tmp_path / "1/2/3/4/5/6/results.csv", "step,deeper\n1,1\n")
    assert set(read(tmp_path).sources) == {"epoch", "train_loss"}
    monkeypatch.setattr("pytest_wf.agent.run.metrics.out_files._MAX_ENTRIES", 5)
    assert read(tmp_path).sources == {}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(NAMES),
    st.binary(max_size=200) | st.text('0123456789,.\n\rstepnaINF{}[]":e-', max_size=200),
)
def test_no_content_of_a_file_makes_a_reader_fail(
    tmp_path: Path, name: str, content: bytes | str
) -> None:
    raw = content if isinstance(content, bytes) else b"step,loss\n" + content.encode()
    (tmp_path / name).write_bytes(raw)
    found = read(tmp_path)
    assert all(isinstance(value, (int, float, str)) for value in found.summary().values())
    (tmp_path / name).unlink()


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
odd = st.recursive(
    values,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["step", "loss", "epoch"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd, odd, odd)
def test_no_state_makes_its_reader_fail(
    tmp_path: Path, history: object, step: object, epoch: object
) -> None:
    state = {"log_history": [history], "global_step": step, "max_steps": epoch, "epoch": epoch}
    write(tmp_path / "trainer_state.json", state)
    write(tmp_path / "all_results.json", {"epoch": epoch, "loss": step})
    found = read(tmp_path, "{'loss': '2', 'epoch': '0.5'}").summary()
    assert {"loss", "epoch"} <= found.keys(), "the log's, where the files have none"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.csv", ",Step,Loss\n0,10,1.5\n1,20,1.25\n"),
        ("metrics.csv", "trainer/global_step,epoch,Loss\n10,0,1.5\n20,1,1.25\n"),
        ("results.csv", "Iter;Loss\n10;1.5\n20;1.25\n"),
        ("summary.csv", "iteration\tLoss\n10\t1.5\n20\t1.25\n"),
        ("progress.csv", "Loss,time/iterations,time/total_timesteps\n1.5,1,10\n1.25,2,20\n"),
    ],
)
def test_a_table_says_its_step_in_its_trainer_s_way(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path / name, text)
    found = read(tmp_path)
    assert (found.step, found.summary()["Loss"]) == (20, 1.25)
    assert found.extremes()["Loss"].max_step == 10


def test_a_table_that_is_replaced_by_a_longer_one_is_read_on(tmp_path: Path) -> None:
    metrics = RunMetrics(str(tmp_path))
    text = "epoch,loss\n"
    for epoch in range(4):
        text += f"{epoch},1.5\n"
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").rename(tmp_path / "metrics.csv")
        metrics.finish()
    assert (metrics.values.step, metrics.values.points) == (3, 4)


def test_a_state_without_a_limit_of_steps_has_no_total(tmp_path: Path) -> None:
    write(tmp_path / "trainer_state.json", {**STATE, "max_steps": -1})
    assert read(tmp_path).total_steps is None
