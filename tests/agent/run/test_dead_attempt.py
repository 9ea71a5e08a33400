"""A trainer's end counts, also where its runner dies before it has written the result."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.wire.files import read_json
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

#: Ends with $STATUS when `go` is there, and has reported by then.
ENDING = (
    "with open(outputs / 'begun', 'a') as f: f.write('x')\n"
    "print('step 1: loss 9', flush=True)\n"
    "while not (outputs / 'go').exists(): time.sleep(0.02)\n"
    "(out / 'metrics.jsonl').write_text('{\"step\": 2, \"loss\": 0.5}\\n')\n"
)
#: Leaves a process behind that writes on, which the runner waits for.
WRITER = (
    "import subprocess\n"
    "subprocess.Popen(['sh', '-c', 'while :; do echo x > \"$TRAIN_OUT_DIR/f\"; done'])\n"
)


def runner_of(pod: Any, attempt: int = 1) -> dict[str, Any]:
    """The identity of row a's runner."""
    found = read_json(str(pod.outputs / f"a/attempts/{attempt}/pid.json"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("end", "state", "failure"),
    [
        ("", "success", None),
        ("sys.exit(3)\n", "failed", "killed"),
        ("os.kill(os.getpid(), 9)\n", "failed", "killed"),
        ("print('NCCL error', flush=True); sys.exit(1)\n", "failed", "killed"),
    ],
    ids=["a good end", "a bad end", "a signal", "a log that was read no more"],
)
def test_a_trainer_that_ends_while_its_runner_dies_is_judged_by_its_own_status(
    pod: Any, end: str, state: str, failure: str | None
) -> None:
    pod.trainer(ENDING + end)
    pod.start(make_row("a", retries=0))
    until(lambda: pod.rows()["a"]["progress"], "it has reported")
    runner = runner_of(pod)
    trainer = pod.read("a/attempts/1/status.json")["pid"]
    os.kill(runner["pid"], signal.SIGSTOP)  # it can write nothing down any more
    (pod.outputs / "go").touch()
    until(lambda: not process.is_alive(process.identity(trainer)), "the trainer has ended")
    os.kill(runner["pid"], signal.SIGKILL)
    row = pod.ended()["rows"][0]
    assert (row["state"], row["failure_class"]) == (state, failure)
    assert row["metrics"] == {"step": 2, "loss": 0.5}, "what it wrote last counts"
    assert "runner-died" in [note["code"] for note in row["notes"]]
    assert (pod.outputs / "begun").read_text() == "x"


def test_a_runner_killed_while_it_waits_for_late_writers_loses_no_training(pod_with: Any) -> None:
    pod = pod_with(RUN_LINGER_SECS="600")
    (pod.outputs / "go").touch()
    pod.trainer(ENDING + WRITER)
    pod.start(make_row("a"))
    pod.wait_for_file("a/attempts/1/exit.json")
    os.kill(runner_of(pod)["pid"], signal.SIGKILL)
    row = pod.ended()["rows"][0]
    assert (row["state"], row["exit_code"], row["attempts"]) == ("success", 0, 1)
    assert not pod.cookie_holders("a")


def test_nor_is_it_lost_where_the_supervisor_dies_too(pod_with: Any) -> None:
    pod = pod_with(RUN_LINGER_SECS="600")
    (pod.outputs / "go").touch()
    pod.trainer(ENDING + WRITER)
    pod.start(make_row("a"))
    pod.wait_for_file("a/attempts/1/exit.json")
    assert pod.kill_supervisor()
    os.kill(runner_of(pod)["pid"], signal.SIGKILL)
    until(lambda: pod.rows()["a"]["state"] == "lost", "nothing works on it")
    pod.resume()
    assert pod.ended()["ok"] == 1
    assert (pod.outputs / "begun").read_text() == "x", "it was not trained again"


def test_what_the_runner_ended_did_not_end_well_by_itself(pod: Any) -> None:
    pod.trainer(
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print('up', flush=True)\nwhile True: time.sleep(0.02)\n"
    )
    pod.start(make_row("a", retries=0))
    until(lambda: "up" in pod.wait_for_file("a/stdout.log").read_text(), "row a is up")
    os.kill(runner_of(pod)["pid"], signal.SIGKILL)
    row = pod.ended()["rows"][0]
    assert (row["state"], row["failure_class"]) == ("failed", "killed")
