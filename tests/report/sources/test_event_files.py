"""TensorBoard's event files: read by its own reader, whatever they hold."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest

from pytest_wf.report.curves import read_metrics
from pytest_wf.report.runs import FetchedRun
from pytest_wf.report.sources.event_files import Scalars, Wanted, event_files, new_to, read_all
from pytest_wf.report.sources.read_events import MAX_POINTS, Scalar
from pytest_wf.wire.files import sha256_bytes

UNREAD = "Its TensorBoard event files were not read: their reader failed or took too long."
NAME = "events.out.tfevents.1.pod.7.0"
#: Writes what trainers write: plain values, tensors, and what is no scalar.
WRITER = """
import sys
from torch.utils.tensorboard import SummaryWriter
one = SummaryWriter(sys.argv[1] + "/out/runs")
for step in range(50):
    one.add_scalar("train/loss", 3 - step / 100, step, walltime=1000 + step)
    one.add_scalar("val_loss", 4 - step / 100, step, walltime=1000 + step, new_style=True)
one.add_scalar("train/loss", float("nan"), 50, walltime=1050)
one.add_text("note", "x", 1)
one.close()
other = SummaryWriter(sys.argv[1] + "/trackers/tensorboard")
other.add_scalar("lr", 0.5, 7, walltime=1000)
other.close()
"""


def fetched(path: Path) -> FetchedRun:
    """A run of which all files in its folder were fetched."""
    files = (one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    digests = {str(one.relative_to(path)): sha256_bytes(one.read_bytes()) for one in files}
    return FetchedRun(path, digests)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with event files."""
    folder = tmp_path_factory.mktemp("run")
    python = os.environ["WF_TEST_TRAINERS_PYTHON"]
    subprocess.run([python, "-c", WRITER, str(folder)], check=True, timeout=120)
    return folder


@pytest.mark.trainers
def test_scalars_are_read_as_plain_values_and_as_tensors(written: Path) -> None:
    bad = written / "out" / "events.out.tfevents.0.bad"
    bad.write_bytes(b"\xff" * 4096)
    run = fetched(written)
    python = os.environ["WF_TEST_TRAINERS_PYTHON"]
    [whole, second] = read_all([Wanted(run), Wanted(run, since=1040)], python=python)
    assert sorted(whole.points) == ["lr", "train/loss", "val_loss"]
    steps, values = whole.points["val_loss"]
    assert steps == [*range(50)]
    assert values[-1] == pytest.approx(3.51)
    assert {tag: len(steps) for tag, (steps, _) in second.points.items()} == {
        "train/loss": 11,
        "val_loss": 10,
    }, "an earlier attempt's do not count"
    assert whole.notes == ()
    curves = read_metrics(b"", most_points=100, scalars=whole.points)
    assert curves.curves["train/loss"].points == 50
    assert "train/loss: 1 value is not finite, the first at step 50." in curves.notes


@pytest.mark.trainers
def test_what_is_not_read_in_time_is_said(written: Path) -> None:
    python = os.environ["WF_TEST_TRAINERS_PYTHON"]
    [found] = read_all([Wanted(fetched(written))], python=python, deadline_s=0.001)
    assert found.points == {}
    assert found.notes == (UNREAD,)


def test_without_tensorboard_a_run_with_no_other_numbers_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).write_bytes(b"")
    run = fetched(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    [bare, other] = read_all([Wanted(run, is_bare=True), Wanted(run)])
    assert "pip install 'pytest-wf[tensorboard]'" in bare.notes[0]
    assert other.notes == ()


def test_only_files_that_were_fetched_are_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("changed", "linked", "kept"):
        (tmp_path / "out" / f"{NAME}.{name}").write_bytes(b"x")
    run = fetched(tmp_path)
    assert event_files(run) == [f"out/{NAME}.{name}" for name in ("changed", "kept", "linked")]
    (tmp_path / "out" / f"{NAME}.changed").write_bytes(b"y")
    (tmp_path / "out" / f"{NAME}.linked").unlink()
    (tmp_path / "out" / f"{NAME}.linked").symlink_to(tmp_path / "out" / f"{NAME}.kept")
    reader = tmp_path / "reader.sh"
    reader.write_text('#!/bin/sh\ncat > "$0.asked"\n')
    reader.chmod(0o755)
    [found] = read_all([Wanted(run)], python=str(reader))
    asked = json.loads((tmp_path / "reader.sh.asked").read_text())
    assert asked["0"]["files"] == [str(tmp_path / "out" / f"{NAME}.kept")]
    assert f"out/{NAME}.changed is not the file that was fetched" in found.notes[0]


def test_a_metric_that_is_known_by_another_name_is_not_there_twice() -> None:
    tags = ("train/loss", "eval/loss", "train/lr", "Loss", "val/acc")
    scalars = Scalars({tag: ([1], [0.5]) for tag in tags}, ("a note",))
    found = new_to(["loss", "eval_loss", "step"], scalars)
    assert sorted(found.points) == ["Loss", "train/lr", "val/acc"]
    assert found.notes == ("a note",)


@pytest.mark.parametrize("said", ["", "no json\n", "[1]\n", '{"run": "0"}\n', '{"run": 0, "sca'])
def test_a_reader_that_fails_leaves_the_run_without_these_numbers(
    tmp_path: Path, said: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).write_bytes(b"x")
    run = fetched(tmp_path)
    reader = tmp_path / "reader.sh"
    reader.write_text(f"#!/bin/sh\nprintf '%s' '{said}'\nexit 1\n")
    reader.chmod(0o755)
    [found] = read_all([Wanted(run)], python=str(reader))
    assert found.points == {}
    assert found.notes == (UNREAD,)


def test_of_too_many_points_every_second_is_kept_and_the_last_one() -> None:
    scalar = Scalar()
    for step in range(5 * MAX_POINTS):
        scalar.take(step, float(step))
    found = scalar.as_json()
    assert MAX_POINTS / 2 <= len(found["steps"]) <= MAX_POINTS + 1
    assert found["points"] == 5 * MAX_POINTS
    assert found["steps"] == found["values"]
    assert (found["steps"][0], found["steps"][-1]) == (0, 5 * MAX_POINTS - 1)
