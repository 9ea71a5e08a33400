"""Tracked tasks on a real pod: what runs, how it ends, what survives, what is refused."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.tasks import task_dir
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm, ids
from pytest_wf.wire.files import read_json
from pytest_wf.wire.process import boot_id, read_proc
from tests.support.agent_pod import made_ready
from tests.support.waiting import until

PYTHON = shlex.quote(sys.executable)
#: Starts a worker in a session of its own, as torchrun does; both take no notice of SIGTERM.
#: A shell, because it begins at once, also on a busy machine.
STUBBORN = 'trap \'\' TERM; echo here; [ "$1" ] || setsid sh "$0" worker & sleep 600'
#: A command of one process, which says that it is at work and starts no other one from then on.
HELD = "mkfifo held; echo at work; read -r line < held"


def refusal(kind: str) -> Any:
    """Expects the agent to refuse with `kind`."""
    return pytest.raises(OperationFailed, check=lambda e: e.kind == kind)


class TaskPod:
    """A pod that is ready, and the requests that tasks need."""

    def __init__(self, client: AgentClient, values: dict[str, str]) -> None:
        self.client = client
        self.settings = Settings(values)
        self.socket = ids.tmux_socket(self.settings.outputs)

    def run(self, id: str, command: str, **args: Any) -> dict[str, Any]:
        """Start a task."""
        return self.client.request("task-run", {"id": id, "command": command, **args})

    def status(self, id: str, **args: Any) -> dict[str, Any]:
        """A task's status."""
        return self.client.request("task-status", {"id": id, **args})

    def wait(self, id: str) -> dict[str, Any]:
        """A task's status once it is over."""

        def over() -> dict[str, Any] | None:
            found = self.status(id)
            return None if found["state"] in ("pending", "running") else found

        found: dict[str, Any] = until(over, f"task {id} is over")
        return found

    def done(self, id: str, command: str, **args: Any) -> dict[str, Any]:
        """Run a task to its end."""
        self.run(id, command, **args)
        return self.wait(id)

    def stop(self, id: str) -> dict[str, Any]:
        """Stop a task."""
        return self.client.request("task-stop", {"id": id})

    def file(self, id: str, name: str) -> Path:
        """A file of a task."""
        return Path(self.settings.task_dir(id), name)

    def log(self, id: str) -> str:
        """A task's log, as the agent gives it."""
        answer = self.client.request("log", {"task_id": id, "offset": 0, "max_bytes": 1 << 20})
        return base64.b64decode(answer["data"]).decode()

    def holders(self, id: str) -> set[int]:
        """Living processes of a task."""
        return process.holders(json.loads(self.file(id, "task.json").read_text())["cookie"])

    def kill_runner(self, id: str) -> None:
        """kill -9 for the runner; its command goes on."""
        known = task_dir.runner_of(self.settings.task_dir(id))
        assert known is not None
        os.kill(known["pid"], signal.SIGKILL)
        until(lambda: not process.is_alive(known), "the runner is gone")

    def windows(self) -> list[str]:
        """Names of the windows in the tmux session of tasks."""
        listed = subprocess.run(
            ["tmux", "-L", self.socket, "list-windows", "-t", "=wf", "-F", "#{window_name}"],
            capture_output=True,
            text=True,
        )
        return listed.stdout.split()

    def tmux(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run tmux on the pod's own server."""
        return subprocess.run(["tmux", "-L", self.socket, *words], capture_output=True, text=True)


@pytest.fixture
def pod_of(
    connect: Callable[..., AgentClient], values: dict[str, str]
) -> Iterator[Callable[..., TaskPod]]:
    """Makes a pod in POD_READY: ``pod_of(TASK_TIMEOUT_SECS="1")``."""
    made: list[TaskPod] = []

    def make(**more: str) -> TaskPod:
        mine = {
            **values,
            "RUN_KILL_GRACE_SECS": "1",
            "TASK_TIMEOUT_SECS": "600",
            "WF_TMUX_SESSION": "wf",
            **more,
        }
        Path(mine["OPS_REMOTE_REPO"]).mkdir(parents=True)
        pod = TaskPod(connect(mine), mine)
        made_ready(pod.client)
        made.append(pod)
        return pod

    yield make
    for pod in made:
        pod.client.request("fsm-reset", {"state": fsm.POD_READY, "reason": "the test is over"})
        for task_id in task_dir.task_ids(pod.settings):
            pod.stop(task_id)
        pod.tmux("kill-server")
        Path(f"/tmp/tmux-{os.getuid()}/{pod.socket}").unlink(missing_ok=True)


@pytest.fixture
def pod(pod_of: Callable[..., TaskPod]) -> TaskPod:
    """A pod in POD_READY."""
    return pod_of()


def test_a_good_task_leaves_its_command_its_log_and_its_end(pod: TaskPod) -> None:
    ended = pod.done("build", "echo 'one $HOME'\necho two >&2\npwd\necho $TASK_ID")

    assert (ended["state"], ended["exit_code"], ended["reason"]) == ("success", 0, None)
    written = json.loads(pod.file("build", "status.json").read_text())
    assert written["boot_id"] == boot_id()
    assert written["started_at"] <= written["ended_at"]
    assert isinstance(written["pid"], int)
    script = pod.file("build", "command.sh")
    assert script.read_text().endswith("\necho 'one $HOME'\necho two >&2\npwd\necho $TASK_ID\n")
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    lines = pod.file("build", "stdout.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "one $HOME",
        "two",
        pod.settings.repo,
        "build",
    ]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
    assert pod.log("build").splitlines() == lines


def test_a_bad_end_is_failed_with_the_commands_own_code(pod: TaskPod) -> None:
    ended = pod.done("bad", "exit 7")
    assert (ended["state"], ended["exit_code"], ended["signal"]) == ("failed", 7, None)
    ended = pod.done("killed", "kill -9 $$")
    assert (ended["state"], ended["exit_code"], ended["signal"]) == ("failed", 137, 9)


def test_a_pipeline_fails_where_any_of_its_parts_does(pod: TaskPod) -> None:
    ended = pod.done("piped", "(exit 3) | cat")
    assert (ended["state"], ended["exit_code"]) == ("failed", 3)
    by_hand = subprocess.run([pod.file("piped", "command.sh")])
    assert by_hand.returncode == 3, "by hand it is the same"


@pytest.mark.long
def test_a_time_out_ends_workers_in_sessions_of_their_own_that_ignore_sigterm(
    pod: TaskPod, tmp_path: Path
) -> None:
    script = tmp_path / "stubborn.sh"
    script.write_text(STUBBORN)
    # counted from the start of the runner, which opens a window first
    ended = pod.done("slow", f"sh {script}", timeout_s=10)
    assert (ended["state"], ended["left"]) == ("timed_out", [])
    assert ended["exit_code"] == 143, "the shell's own, which SIGTERM ended"
    assert ended["reason"] == "ran longer than 10 s"
    assert pod.holders("slow") == set()
    assert pod.log("slow").count("here") == 2


def test_stop_ends_everything_and_says_so(pod: TaskPod, tmp_path: Path) -> None:
    script = tmp_path / "stubborn.sh"
    script.write_text(STUBBORN)
    pod.run("long", f"sh {script}")
    until(lambda: pod.log("long").count("here") == 2, "both are at work")
    stopped = pod.stop("long")
    assert (stopped["stopped"], stopped["leftovers"]) == (True, [])
    assert (stopped["state"], stopped["reason"]) == ("failed", "stopped by the user")
    assert pod.holders("long") == set()
    assert pod.stop("long")["stopped"] is False


def test_what_outlives_the_command_is_ended_and_noted(pod: TaskPod) -> None:
    ended = pod.done("fork", "setsid sleep 600 & echo begun")
    assert ended["state"] == "success"
    text = "1 processes outlived the command and were ended"
    assert ended["notes"] == [{"code": "late-writer", "text": text}]
    assert pod.holders("fork") == set()


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


def test_a_window_shows_the_log_and_goes_with_the_task(pod: TaskPod) -> None:
    for name in ("a.b", "a"):
        go = pod.file(name, "go")
        pod.run(name, f"echo 'I am {name}'; while [ ! -e {go} ]; do sleep 0.05; done")
    window = ids.tmux_window("a.b")
    until(lambda: len(pod.windows()) == 2, "each task has a window")
    attach = until(lambda: pod.status("a.b")["attach"], "it tells how to attach")
    assert attach == f"tmux -L {pod.socket} attach -t =wf:={window}"
    until(
        lambda: "I am a.b" in pod.tmux("capture-pane", "-p", "-t", f"=wf:={window}").stdout,
        "the window shows the log",
    )
    pod.file("a.b", "go").touch()
    assert pod.wait("a.b")["attach"] is None
    until(lambda: pod.windows() == [ids.tmux_window("a")], "the window is closed")
    pod.tmux("kill-session", "-t", "=wf")
    assert pod.status("a")["state"] == "running", "the window is for looking alone"


NO_IDS = ["../x", "-rf", "a b", "x\n", "", ".", "a/b", "x" * 129, "é", "status", 7, None]


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


def test_a_damaged_status_is_unreadable_never_success(pod: TaskPod) -> None:
    pod.done("t", "true")
    for raw in (b"", b"{", b"[]", b'{"state": "great"}', b'{"state": NaN}', b"\xff"):
        pod.file("t", "status.json").write_bytes(raw)
        found = pod.status("t")
        assert (found["state"], found["exit_code"]) == ("unreadable", None), raw
        assert found["reason"]


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


def test_a_long_poll_ends_when_the_task_does(pod: TaskPod) -> None:
    go = pod.file("t", "go")
    pod.run("t", f"while [ ! -e {go} ]; do sleep 0.02; done")
    until(lambda: pod.status("t")["attach"], "the task is under way")
    before = pod.status("t")
    began = time.monotonic()
    assert pod.status("t", seen=before["seen"], wait_s=0.3)["state"] == "running"
    assert time.monotonic() - began >= 0.2
    go.touch()
    seen = before["seen"]
    assert until(
        lambda: pod.status("t", seen=seen, wait_s=5)["state"] == "success", "the poll came back"
    )


@pytest.mark.fault("X2")
def test_secrets_reach_the_command_and_no_file(pod: TaskPod) -> None:
    secret = "s3cr3t-Value/with+marks"
    pod.run(
        "t",
        'printf \'%s\\n\' "$MY_TOKEN" "$(printf %s "$MY_TOKEN" | base64 -w0)"; sleep 600',
        secrets={"MY_TOKEN": secret},
    )
    until(lambda: pod.log("t").count("[redacted]") == 2, "the command has printed it")
    until(lambda: pod.status("t")["attach"], "tmux is up")
    assert secret not in pod.tmux("show-environment", "-g").stdout
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    argvs = [read_proc(f"/proc/{pid}/cmdline") or b"" for pid in pids]
    assert not any(secret.encode() in argv for argv in argvs)
    pod.stop("t")
    for path in Path(pod.settings.outputs).rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    with refusal("launch"):
        pod.run("u", f"echo {secret}", secrets={"MY_TOKEN": secret})
    assert task_dir.task_ids(pod.settings) == ["t"]


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


def test_the_config_sets_the_time_limit_and_0_means_none(pod_of: Callable[..., TaskPod]) -> None:
    pod = pod_of(TASK_TIMEOUT_SECS="1")
    assert pod.done("t", "sleep 600")["state"] == "timed_out"
    assert pod.done("u", "sleep 1.5", timeout_s=0)["state"] == "success"


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
