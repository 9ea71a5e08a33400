"""The run directory is the harness's, `out/` in it the trainer's, whatever it makes of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.sweep_pod import make_row

LINES = "print('step 1: loss 2.5', flush=True)\nprint('done', flush=True)\n"
OURS = {
    *("attempts", "command.sh", "made.json", "metrics.jsonl"),
    *("status.json", "stdout.log", "summary.json"),
}


def test_out_is_empty_when_the_first_attempt_begins(pod: Any) -> None:
    pod.trainer("sys.exit('not empty' if os.listdir(out) else 0)\n")
    assert pod.run_to_end(make_row("a"))["a"]["state"] == "success"


def test_a_retry_finds_what_the_attempt_before_left(pod: Any) -> None:
    pod.trainer(
        "print(sorted(os.listdir(out)), flush=True)\n"
        "if not (out / 'ckpt.pt').exists():\n"
        "    (out / 'ckpt.pt').touch()\n    sys.exit('NCCL error')\n"
    )
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["attempts"]) == ("success", 2)
    assert "['ckpt.pt']" in pod.log("a")


@pytest.mark.parametrize(
    "habit",
    [
        "shutil.rmtree(out)\n",
        "shutil.rmtree(out); out.mkdir()\n",
        "shutil.rmtree(out); out.write_text('results')\n",
        "shutil.rmtree(out); d = outputs / 'other'; d.mkdir(); out.symlink_to(d)\n",
        "shutil.rmtree(out); out.symlink_to('/nowhere')\n",
        "shutil.rmtree(out); os.mkfifo(out)\n",
        "out.chmod(0)\n",
        "os.mkfifo(out / 'metrics.jsonl'); os.mkfifo(out / 'summary.json')\n",
        "(out / 'metrics.jsonl').mkdir(); (out / 'status.json').mkdir()\n",
        "socket.socket(socket.AF_UNIX).bind('metrics.jsonl')\n",
    ],
    ids=lambda habit: habit.strip().replace("/", "-"),
)
@pytest.mark.parametrize("mode", ["durable", "local_sync"])
def test_what_a_trainer_makes_of_its_folder_changes_nothing_else(
    pod_with: Any, tmp_path: Path, habit: str, mode: str
) -> None:
    pod = pod_with(RUN_OUT_MODE=mode, RUN_OUT_LOCAL_ROOT=str(tmp_path / "local"))
    pod.trainer("import shutil, socket\nos.chdir(out)\n" + habit + LINES)
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["attempts"]) == ("success", 1), row
    assert row["metrics"] == {"step": 1, "loss": 2.5}
    assert pod.log("a").split()[-1] == "done"
    assert set(os.listdir(pod.outputs / "a")) - {"out"} == OURS
    assert pod.read("a/status.json")["state"] == "success"


def test_the_trainers_own_summary_status_log_and_attempts_are_files_of_its_own(pod: Any) -> None:
    names = ["summary.json", "status.json", "stdout.log", "command.sh", "attempts"]
    pod.trainer(f"for name in {names}: (out / name).write_text('mine')\n" + LINES)
    assert pod.run_to_end(make_row("a"))["a"]["state"] == "success"
    assert {(pod.outputs / "a" / "out" / name).read_text() for name in names} == {"mine"}
    assert pod.summary("a")["ok"] is True


def test_the_numbers_that_were_read_stand_in_the_run_directory(pod: Any) -> None:
    pod.trainer(
        "print('step 1: loss 9.5', flush=True)\n"
        "if os.environ['RUN_ID'] == 'file':\n"
        '    text = \'{"step": 1, "loss": 2.5, "note": "x"}\\n{"step": 2, "loss": NaN}\\n\'\n'
        "    (out / 'metrics.jsonl').write_text(text)\n"
    )
    pod.run_to_end(make_row("file"), make_row("log"))
    lines = (pod.outputs / "file" / "metrics.jsonl").read_text().splitlines()
    assert [re.sub(r'"at_s": [0-9.]+, ', "", line) for line in lines] == [
        '{"attempt": 1, "source": "log", "step": 1, "loss": 9.5}',
        '{"attempt": 1, "source": "metrics.jsonl", "step": 1, "loss": 2.5}',
        '{"attempt": 1, "source": "metrics.jsonl", "step": 2, "loss": NaN}',
    ]
    log = json.loads((pod.outputs / "log" / "metrics.jsonl").read_text())
    assert 0 <= log.pop("at_s") < 60
    assert log == {"attempt": 1, "source": "log", "step": 1, "loss": 9.5}
    assert pod.summary("file")["sources"] == {"loss": "metrics.jsonl"}


TRACKERS = {
    "WANDB_DIR": "{folder}",
    "WANDB_DATA_DIR": "{folder}/wandb",
    "MLFLOW_TRACKING_URI": "file://{folder}/mlruns",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "TENSORBOARD_LOGGING_DIR": "{folder}/tensorboard",
    "WANDB_MODE": "offline",
}


def test_trackers_write_into_the_run_directory_by_default(pod: Any) -> None:
    pod.trainer(
        "run = pathlib.Path(os.environ['WANDB_DIR'], 'wandb'); run.mkdir()\n"
        "(run / 'offline.wandb').write_text('x')\n"
        f"print([os.environ[name] for name in {[*TRACKERS]}])\n"
    )
    row = pod.run_to_end(make_row("a"))["a"]
    folder = pod.outputs / "a" / "trackers"
    assert (folder / "wandb" / "offline.wandb").is_file()
    assert str([place.format(folder=folder) for place in TRACKERS.values()]) in pod.log("a")
    assert [note["code"] for note in row["notes"]] == ["no-metrics"], "it did write something"


def test_a_tracker_that_the_user_placed_stays_there(pod: Any) -> None:
    pod.trainer("print(os.environ['MLFLOW_TRACKING_URI'])\n")
    pod.start(make_row("a"), secrets={"MLFLOW_TRACKING_URI": "short"})
    pod.ended()
    assert "short" in pod.log("a")
    assert not (pod.outputs / "a" / "trackers").exists(), "no empty folder is left"


@pytest.mark.parametrize(
    "harm",
    [
        "shutil.rmtree(out.parent)\n",
        "shutil.rmtree(out.parent / 'attempts')\n",
        "(out.parent / 'summary.json').mkdir()\n",
        "os.chmod(out.parent / 'attempts' / '1', 0); os.chmod(out.parent, 0)\n",
        "os.unlink(out.parent / 'status.json'); (out.parent / 'status.json').mkdir()\n",
        "os.unlink(out.parent / 'stdout.log'); os.mkfifo(out.parent / 'stdout.log')\n",
    ],
    ids=["its run directory", "the attempts", "a summary", "locked", "a status", "a log"],
)
def test_a_trainer_that_harms_what_is_not_its_own_ends_in_a_stated_state(
    pod: Any, harm: str
) -> None:
    pod.trainer("import shutil\nif os.environ['RUN_ID'] == 'a':\n    " + harm + LINES)
    rows = pod.run_to_end(make_row("a"), make_row("b"))
    assert rows["a"]["state"] == "success", rows["a"]
    assert rows["b"]["state"] == "success", "rows go on"
