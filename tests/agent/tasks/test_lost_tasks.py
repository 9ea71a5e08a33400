"""Tasks on a real pod whose controller, runner or pod goes away."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest

from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import ids
from pytest_wf.wire.files import read_json
from tests.support.task_pod import TaskPod
from tests.support.waiting import until

#: A command of one process, which says that it is at work and starts no other one from then on.
HELD = "mkfifo held; echo at work; read -r line < held"


@pytest.mark.fault("P4")
def test_a_task_survives_its_controller_its_link_and_tmux(
    pod: TaskPod, connect: Callable[..., AgentClient]
) -> None:
    go = pod.file("slow", "go")
    pod.run("slow", f"while [ ! -e {go} ]; do sleep 0.05; done; echo through; exit 5")
    until(lambda: pod.windows() == [ids.tmux_window("slow")], "the task has a window")
    pod.tmux("kill-server")
    pod.client.close()
    go.touch()
    later = TaskPod(connect(pod.settings), dict(pod.settings))
    assert later.wait("slow")["exit_code"] == 5
    assert "through" in later.log("slow")


def test_a_killed_runner_leaves_a_lost_task_whose_rest_can_be_stopped(pod: TaskPod) -> None:
    pod.run("t", HELD)
    until(lambda: "at work" in pod.log("t"), "the command runs")
    pod.kill_runner("t")
    lost = pod.status("t")
    assert (lost["state"], lost["exit_code"]) == ("lost", None)
    assert "the runner was killed" in lost["reason"]
    assert set(lost["processes"]) == pod.holders("t")
    stopped = pod.stop("t")
    assert (stopped["stopped"], stopped["leftovers"], stopped["state"]) == (True, [], "lost")
    assert pod.holders("t") == set()
    assert pod.status("t")["processes"] == []


@pytest.mark.fault("P1")
def test_after_a_restart_of_the_pod_a_running_task_is_lost(pod: TaskPod) -> None:
    pod.run("t", "sleep 600")
    path = pod.file("t", "pid.json")
    known = path.read_text()
    path.write_text(json.dumps({**json.loads(known), "boot_id": "of another boot"}))
    assert pod.status("t")["state"] == "lost"
    assert "restarted" in pod.status("t")["reason"]
    path.write_text(known)
    assert pod.status("t")["state"] == "running"


def test_a_runner_that_was_never_let_go_means_that_nothing_was_run(pod: TaskPod) -> None:
    pod.done("t", "true")
    pod.file("t", "pid.json").unlink()
    status = json.loads(pod.file("t", "status.json").read_text())
    pod.file("t", "status.json").write_text(json.dumps({**status, "state": "pending"}))
    found = pod.status("t")
    assert (found["state"], found["reason"]) == (
        "lost",
        "its runner did not start, so the command was not run",
    )
    assert pod.done("t", "true", force=True)["state"] == "success"


def test_a_command_that_ended_before_its_runner_was_killed_has_the_status_that_it_had(
    pod_of: Callable[..., TaskPod],
) -> None:
    pod = pod_of(RUN_LINGER_SECS="600")
    late = "(while :; do echo x > late.txt; done) > /dev/null 2>&1 &"
    for name, end in (("good", "true"), ("bad", "exit 3")):
        pod.run(name, f"{late} {end}")
        until(pod.file(name, "exit.json").exists, "the command has ended")
        os.kill(read_json(str(pod.file(name, "pid.json")))["pid"], signal.SIGKILL)
    good, bad = pod.wait("good"), pod.wait("bad")
    assert (good["state"], good["exit_code"]) == ("success", 0)
    assert (bad["state"], bad["exit_code"]) == ("failed", 3)
    assert good["processes"], "what it left behind is told, and can be stopped"
    for name in ("good", "bad"):
        assert pod.client.request("task-stop", {"id": name})["leftovers"] == []
