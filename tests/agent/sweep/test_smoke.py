"""The smoke run: the first row of a start, cut short, before anything else is run."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.sweep import smoke
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm
from pytest_wf.wire.ownership import make_folder
from tests.support.agent_pod import OWNER
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

#: Trains for as long as `steps` says, and for ever without.
TRAINER = """
known = dict(word.split("=", 1) for word in sys.argv[2:])
(outputs / "pid").write_text(str(os.getpid()))
(out / "argv.json").write_text(json.dumps(sys.argv[1:]))
print("secret is", os.environ.get("TOKEN"), flush=True)
if known.get("steps") != "2":
    time.sleep(600)
print("step 2: loss 0.5", flush=True)
sys.exit(int(known.get("exit", "0")))
"""


@pytest.fixture
def pod(pod_with: Callable[..., Any]) -> Any:
    made = pod_with(SMOKE_OVERRIDES="steps=2", SMOKE_TIMEOUT_SECS="30")
    made.trainer(TRAINER)
    return made


def test_a_good_smoke_run_leaves_nothing_and_begins_no_campaign(pod: Any) -> None:
    found = pod.smoke(make_row("a", "steps=9"), make_row("b"), secrets={"TOKEN": "hunter2-hunter2"})
    result = found["result"]
    assert (result["run_id"], result["state"], result["ok"]) == ("a", "success", True)
    assert result["overrides"] == "steps=9 steps=2"
    assert result["metrics"]["loss"] == 0.5
    assert "hunter2" not in str(found) and "step 2: loss 0.5" in found["log_tail"][-1]
    assert not (pod.outputs / "_smoke").exists() and not (pod.outputs / "a").exists()
    assert pod.client.request("state")["campaign_id"] is None
    assert pod.client.request("state")["state"] == fsm.CHECKED_OUT


def test_a_smoke_run_keeps_its_trackers_offline_where_the_sweep_does_not(pod: Any) -> None:
    pod.trainer('print("mode", os.environ["WANDB_MODE"], os.environ["MLFLOW_TRACKING_URI"][:8])\n')
    secrets = {"WANDB_API_KEY": "hunter2-hunter2", "MLFLOW_TRACKING_URI": "https://mlflow.example"}
    found = pod.smoke(make_row("a"), secrets=secrets)
    assert "mode offline file:///" in found["log_tail"][-1]


def test_a_bad_smoke_run_says_why_and_the_next_one_replaces_it(pod: Any) -> None:
    found = pod.smoke(make_row("a", "exit=3"))
    assert (found["result"]["state"], found["result"]["exit_code"]) == ("failed", 3)
    assert Path(found["log"]).is_file() and found["log"].startswith(f"{pod.outputs}/_smoke/a/")
    assert pod.smoke(make_row("b"))["result"]["ok"]
    assert not (pod.outputs / "_smoke").exists()


def test_the_row_of_a_smoke_run_is_the_first_that_would_be_trained(pod: Any) -> None:
    rows = make_row("a", "steps=2"), make_row("b", "steps=2"), make_row("c")
    pod.run_to_end(*rows[:1])
    assert pod.smoke(*rows)["result"]["run_id"] == "b"
    assert pod.smoke(*rows, selected=["c", "b"])["result"]["run_id"] == "c"
    assert pod.smoke(rows[0])["result"] is None


def test_a_smoke_run_ends_at_its_time_limit(pod_with: Callable[..., Any]) -> None:
    pod = pod_with(SMOKE_OVERRIDES="steps=3", SMOKE_TIMEOUT_SECS="1")
    pod.trainer(TRAINER)
    result = pod.smoke(make_row("a", timeout_s=500))["result"]
    assert (result["state"], result["reason"]) == ("timed_out", "ran longer than 1 s")


def test_what_a_start_would_be_refused_with_is_said_before_the_smoke_run(pod: Any) -> None:
    (pod.outputs / "a").mkdir()
    (pod.outputs / "a" / "mine.txt").write_text("x")
    with pytest.raises(OperationFailed) as refused:
        pod.smoke(make_row("a"))
    assert refused.value.kind == "run-exists"
    assert not (pod.outputs / "_smoke").exists()


def test_a_folder_in_the_place_of_the_smoke_run_is_left_alone(pod: Any) -> None:
    (pod.outputs / "_smoke").mkdir()
    (pod.outputs / "_smoke" / "mine.txt").write_text("x")
    with pytest.raises(OperationFailed) as refused:
        pod.smoke(make_row("a"))
    assert refused.value.kind == "not-ours"
    assert (pod.outputs / "_smoke" / "mine.txt").read_text() == "x"


class Endless:
    """A smoke run under way that does not end by itself; `error` is what it was refused with."""

    def __init__(self, pod: Any) -> None:
        self.error = ""
        self._pod = pod
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        written: str = until(pod.wait_for_file("pid").read_text, "the trainer has said its pid")
        self.trainer = process.identity(int(written))

    def _ask(self) -> None:
        try:
            self._pod.smoke(make_row("a", "exit=0"), secrets={})
        except OperationFailed as e:
            self.error = e.kind

    def is_over(self) -> bool:
        """Whether the trainer is gone and the request answered."""
        self._thread.join(60)
        until(lambda: not process.is_alive(self.trainer), "the trainer is gone")
        return not self._thread.is_alive()


@pytest.fixture
def endless(pod_with: Callable[..., Any]) -> Any:
    pod = pod_with(SMOKE_OVERRIDES="steps=3", SMOKE_TIMEOUT_SECS="500")
    pod.trainer(TRAINER)
    return pod


def test_a_smoke_run_ends_where_another_controller_takes_the_pod(
    endless: Any, connect: Callable[..., Any]
) -> None:
    run = Endless(endless)
    other = connect(dict(endless.settings))
    other.token = endless.client.token
    other.request("lease-drop")
    other.token = other.request("lease-take", {"owner": {**OWNER, "pid": 8}})["token"]
    assert run.is_over() and run.error == "lease-lost"
    other.request("lease-drop")
    endless.take_lease()


def test_nothing_is_left_of_a_smoke_run_whose_attendant_is_killed(endless: Any) -> None:
    run = Endless(endless)
    attempt = endless.outputs / "_smoke" / "a" / "attempts" / "1"
    runner = endless.read("_smoke/a/attempts/1/pid.json")
    # the runner has its parent's pid in its arguments
    words = Path(f"/proc/{runner['pid']}/cmdline").read_bytes().split(b"\0")
    os.kill(int(words[words.index(os.fsencode(attempt)) + 1]), signal.SIGKILL)
    assert run.is_over() and run.error == "remote-failed"
    endless.trainer(TRAINER.replace("600", "0"))
    assert endless.run_to_end(make_row("a"))["a"]["state"] == "success"


def test_a_start_ends_what_a_smoke_run_left_at_work(settings: Settings) -> None:
    folder = f"{settings.outputs}/{smoke.FOLDER}"
    make_folder(folder, "the smoke run")
    make_folder(f"{folder}/a", "run a of smoke-1")
    make_folder(f"{folder}/b", "run b of c-1")
    tree = Path(settings.repo, ".wf-trees", "c-1")
    tree.mkdir(parents=True)
    left = subprocess.Popen(["sleep", "600"], env={process.COOKIE: "smoke-1.a.1"})
    # its pipe to here closes before its environment can be read
    until(lambda: process.holders("smoke-1.a.1"), "sleep has begun")
    smoke.clear(settings)
    assert left.wait(60) == -signal.SIGTERM
    assert not Path(folder).exists() and tree.exists()
