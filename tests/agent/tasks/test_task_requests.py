"""Requests for tasks on a real pod: which are carried out, and which are refused."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_wf.agent import process
from pytest_wf.agent.control import state
from pytest_wf.agent.tasks import task_dir
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from tests.support.task_pod import TaskPod, refusal
from tests.support.waiting import until

NO_IDS = ["../x", "-rf", "a b", "x\n", "", ".", "a/b", "x" * 129, "é", "status", 7, None]


IMPOSSIBLE: list[dict[str, Any]] = [
    {"command": ""},
    {"command": " \n"},
    {"command": "a\0b"},
    {"command": "true", "timeout_s": -1},
    {"command": "true", "timeout_s": "9"},
    {"command": "true", "workdir": "not/there"},
    {"command": "true", "workdir": "/etc/passwd"},
    {"command": "x" * 200_000},
]


def test_what_is_no_id_is_refused_everywhere(pod: TaskPod) -> None:
    for id in NO_IDS:
        for op in ("task-run", "task-status", "task-stop"):
            with refusal("no-such-task"):
                pod.client.request(op, {"id": id, "command": "true"})
        with refusal("no-such-task"):
            pod.client.request("log", {"task_id": id, "offset": 0})
    assert task_dir.task_ids(pod.settings) == []


def test_an_id_of_128_characters_with_dots_runs(pod: TaskPod) -> None:
    assert pod.done("a." * 63 + "zz", "true")["state"] == "success"


def test_an_id_is_used_once_unless_forced_and_then_archived(pod: TaskPod) -> None:
    pod.done("t", "echo first; exit 3")
    with refusal("task-exists"):
        pod.run("t", "echo second")
    assert "first" in pod.log("t")
    assert pod.run("t", "echo second", force=True)["state"] in ("running", "success")
    assert pod.wait("t")["exit_code"] == 0
    archived = list(Path(pod.settings.tasks, "_archive").iterdir())
    assert len(archived) == 1
    assert re.fullmatch(r"t-\d{8}T\d{6}Z", archived[0].name)
    assert json.loads((archived[0] / "status.json").read_text())["exit_code"] == 3
    assert [t["task_id"] for t in pod.client.request("task-list")["tasks"]] == ["t"]


def test_a_directory_that_no_task_made_is_never_moved(pod: TaskPod) -> None:
    theirs = Path(pod.settings.tasks, "t", "notes")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with refusal("not-ours"):
        pod.run("t", "true", force=True)
    assert theirs.read_text() == "mine"


def test_a_running_task_is_not_replaced_even_by_force(pod: TaskPod) -> None:
    pod.run("t", "sleep 600")
    with refusal("task-running"):
        pod.run("t", "true", force=True)
    until(lambda: pod.holders("t"), "the command runs")
    pod.kill_runner("t")
    with refusal("task-running"):
        pod.run("t", "true", force=True)
    assert pod.status("t")["processes"], "its command still runs"


def test_the_same_request_again_is_the_same_task(pod: TaskPod) -> None:
    args = {"id": "once", "command": "echo x >> once.txt"}
    pod.client.request("task-run", args, id="r-1")
    pod.wait("once")
    Path(pod.settings.operations, "r-1", "answer.json").unlink()
    assert pod.client.request("task-run", args, id="r-1")["state"] == "success"
    assert Path(pod.settings.repo, "once.txt").read_text() == "x\n"


def test_no_task_is_run_before_the_pod_is_ready_or_after_it_is_gone(pod: TaskPod) -> None:
    for name in (fsm.INIT, fsm.POD_TERMINATED):
        pod.client.request("fsm-reset", {"state": name, "reason": "test"})
        with refusal("illegal-state"):
            pod.run("t", "true")
    assert task_dir.task_ids(pod.settings) == []


def test_running_and_stopping_need_the_lease_and_looking_does_not(pod: TaskPod) -> None:
    pod.done("t", "true")
    token, pod.client.token = pod.client.token, None
    for op in ("task-run", "task-stop"):
        with refusal("lease-lost"):
            pod.client.request(op, {"id": "t", "command": "true"})
    assert pod.status("t")["state"] == "success"
    assert len(pod.client.request("task-list")["tasks"]) == 1
    pod.client.token = token
    assert state.read_state(pod.settings).state == fsm.POD_READY, "tasks leave the state alone"


def test_what_cannot_be_run_is_refused_and_takes_no_id(pod: TaskPod) -> None:
    for args in IMPOSSIBLE:
        with refusal("launch"):
            pod.client.request("task-run", {"id": "t", **args})
    assert task_dir.task_ids(pod.settings) == []


def test_a_working_directory_is_relative_to_the_repository(pod: TaskPod) -> None:
    folder = Path(pod.settings.repo, "a dir")
    folder.mkdir()
    assert pod.done("t", "pwd; true", workdir="a dir")["workdir"] == str(folder)
    assert pod.log("t").split(" ", 1)[1] == f"{folder}\n"
    assert pod.done("u", "pwd", workdir="/")["workdir"] == "/"


def test_nothing_is_deleted_below_a_running_task_unless_forced(pod: TaskPod) -> None:
    pod.run("t", "sleep 600")
    cookie = json.loads(pod.file("t", "task.json").read_text())["cookie"]
    until(lambda: process.holders(cookie), "the command runs")
    with refusal("task-running"):
        pod.client.request("delete", {"flow_id": "f", "force": False})
    assert pod.status("t")["state"] == "running"
    pod.client.request("delete", {"flow_id": "f", "force": True})
    assert process.holders(cookie) == set()
    assert task_dir.task_ids(pod.settings) == []


def test_two_tasks_started_at_once_under_one_id_are_one(
    pod: TaskPod, connect: Callable[..., AgentClient]
) -> None:
    other = connect(pod.settings)
    other.token = pod.client.token
    said: list[str] = []

    def ask(client: AgentClient) -> None:
        try:
            client.request("task-run", {"id": "t", "command": "echo x >> runs.txt"})
            said.append("ran")
        except OperationFailed as e:
            said.append(e.kind)

    threads = [threading.Thread(target=ask, args=(c,)) for c in (pod.client, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) in (["ran", "task-exists"], ["ran", "task-running"])
    pod.wait("t")
    assert Path(pod.settings.repo, "runs.txt").read_text() == "x\n"
