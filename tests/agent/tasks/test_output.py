"""What a task on a real pod shows while it runs, and what it never shows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_wf.agent.tasks import task_dir
from pytest_wf.wire import ids
from pytest_wf.wire.process import read_proc
from tests.support.task_pod import TaskPod, refusal
from tests.support.waiting import until


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
