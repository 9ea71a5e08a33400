"""Folders of trackers in fetched runs, found by the names of files, and their commands."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from pytest_wf.report.trackers import TRACKERS, TrackerFolder, folders_in

ID = "0123456789abcdef" * 2
WANDB = "wandb/offline-run-20260102_030405-c-1-a/run-c-1-a.wandb"
MLFLOW = f"mlruns/5/{ID}/meta.yaml"
EVENTS = "events.out.tfevents.1767323045.host.1.0"


def found(run: Path, *names: str) -> list[tuple[str, str]]:
    for name in names:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
    return [(one.tracker, one.name) for one in folders_in(run, names)]


def command(tracker: str, *folders: TrackerFolder) -> str:
    return next(one for one in TRACKERS if one.name == tracker).command(folders)


def in_run(run: Path, folder: str) -> TrackerFolder:
    return TrackerFolder("", run, run / folder)


@pytest.mark.parametrize("place", ["trackers", "out", "out/logs/version_0"])
def test_each_tracker_is_known_by_its_files(tmp_path: Path, place: str) -> None:
    names = [f"{place}/{name}" for name in (WANDB, MLFLOW, f"runs/{EVENTS}")]
    assert found(tmp_path, *names) == [
        ("W&B", f"{place}/wandb"),
        ("MLflow", f"{place}/mlruns"),
        ("TensorBoard", f"{place}/runs"),
    ]


def test_a_tracker_may_write_into_the_run_directory_itself(tmp_path: Path) -> None:
    assert found(tmp_path, EVENTS, WANDB.partition("/")[2]) == [("TensorBoard", "."), ("W&B", ".")]


@pytest.mark.parametrize(
    "name",
    [
        "trackers/wandb/run-20260102_030405-c-1-a/run-c-1-a.wandb",  # uploaded while it ran
        "trackers/wandb/offline-run-1-a/files/run-x.wandb.txt",
        "trackers/mlruns/5/meta.yaml",
        f"trackers/mlruns/5/{ID}/tags/meta.yaml",
        "out/my-events.out.tfevents.txt",
        "out/model.pt",
    ],
)
def test_other_files_are_of_no_tracker(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, name) == []


def test_a_folder_that_is_gone_or_cannot_be_shown_is_left_out(tmp_path: Path) -> None:
    assert folders_in(tmp_path, [f"gone/{EVENTS}"]) == ()
    assert found(tmp_path, f"a\nb/{EVENTS}", f"a\u202eb/{EVENTS}", f"a\x1bb/{EVENTS}") == []


HOSTILE = [
    "a b",
    "$(touch hit)",
    "`touch hit`",
    "'; touch hit; '",
    '"; touch hit',
    "*",
    "-n",
    "%41",
]


#: Stand for the trackers' programs, and print their arguments.
PROGRAMS = """\
print() { printf '%s\\0' "$@"; }
wandb() { print "$@"; }
mlflow() { print "$@"; }
tensorboard() { print "$@"; }
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_command(tmp_path: Path, name: str) -> None:
    run = tmp_path / name / "run"
    names = [f"{name}/{WANDB}", f"{name}/{MLFLOW}", f"{name}/{EVENTS}"]
    found(run, *names)
    folders = folders_in(run, names)
    commands = [command(folder.tracker, folder) for folder in folders]
    script = "\n".join([PROGRAMS, *commands])
    said = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, check=True)
    store = (run / name / "mlruns").as_uri()
    assert said.stdout.decode().split("\0")[:-1] == [
        *("sync", str((run / names[0]).parent)),
        *("ui", "--backend-store-uri", store),
        *("--logdir", str(run / name)),
    ]
    assert not [*tmp_path.rglob("hit")]


def test_one_command_is_for_all_runs_of_a_sweep(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    both = in_run(a, "trackers/wandb"), in_run(b, "trackers/wandb")
    assert shlex.split(command("W&B", *both)) == [
        "wandb",
        "sync",
        f"{a}/trackers/wandb/offline-run-*",
        f"{b}/trackers/wandb/offline-run-*",
    ]
    assert command("TensorBoard", *both) == f"tensorboard --logdir {tmp_path}"
    assert command("MLflow", *both) == "", "it opens one store"


def test_tensorboard_gets_the_folder_that_holds_all_events_of_a_run(tmp_path: Path) -> None:
    folders = [in_run(tmp_path, "out/logs/0"), in_run(tmp_path, "out/logs/1")]
    assert command("TensorBoard", *folders) == f"tensorboard --logdir {tmp_path}/out/logs"


def test_tensorboard_is_not_sent_through_folders_beside_the_runs(tmp_path: Path) -> None:
    here, replaced = tmp_path / "runs" / "a", tmp_path / "runs" / ".superseded" / "1" / "a"
    told = command("TensorBoard", in_run(here, "out"), in_run(replaced, "out"))
    assert told == f"tensorboard --logdir {tmp_path}/runs"
    assert command("TensorBoard", in_run(here, "out"), in_run(tmp_path / "else" / "b", "out")) == ""
