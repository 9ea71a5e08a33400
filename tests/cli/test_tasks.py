"""`wf task-*` as a user runs them: what they print, and what they exit with."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.evidence.records import RunStatus
from pytest_wf.flow.operations import tasks
from pytest_wf.wire import ids
from pytest_wf.wire.states import TASK_ENDED


@pytest.fixture(scope="module")
def pod(new_wf: Callable[..., Any]) -> Iterator[Any]:
    """`wf` in a project whose pod is ready; its tasks are stopped at the end."""
    wf = new_wf(config={"WF_SECRET_ENV": "MY_TOKEN", "RUN_KILL_GRACE_SECS": "1"})
    wf.environ["MY_TOKEN"] = "s3cr3t-Value/with+marks"
    wf.all_good("pod-status")
    yield wf
    for task in wf("task-list", "--json").document["tasks"]:
        if task["state"] not in TASK_ENDED:
            wf("task-stop", "--id", task["task_id"])
    socket = ids.tmux_socket(str(wf.root / ".wf" / "pod" / "outputs"))
    subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)
    Path(f"/tmp/tmux-{os.getuid()}/{socket}").unlink(missing_ok=True)


def run(pod: Any, task_id: str, command: str, *words: str) -> None:
    """Start a task, which must do."""
    told = pod("task-run", "--id", task_id, "--cmd", command, *words)
    assert told.code == 0, told


def test_a_task_is_run_waited_for_shown_and_replaced_by_force_alone(pod: Any) -> None:
    run(pod, "good", "echo hello; echo $MY_TOKEN")
    waited = pod("task-wait", "--id", "good")
    assert waited.code == 0, waited
    assert "wf: task good succeeded." in waited.errors
    folder = pod.root / ".wf" / "pod" / "outputs" / "_tasks"
    status = RunStatus.model_validate(json.loads((folder / "good" / "status.json").read_text()))
    assert (status.state, status.exit_code) == ("success", 0)
    assert status.pid is not None
    assert status.boot_id
    shown = pod("logs", "good").out
    assert [line.split(" ", 1)[1] for line in shown.splitlines()] == ["hello", "[redacted]"]

    refused = pod("task-run", "--id", "good", "--cmd", "echo second")
    assert refused.code == 1
    assert "--force" in refused.problems[0]
    run(pod, "good", "echo second", "--force")
    assert pod("logs", "-f", "good").out.endswith(" second\n")
    assert [path.name[:5] for path in (folder / "_archive").iterdir()] == ["good-"]


def test_task_wait_exits_with_the_tasks_own_code(pod: Any) -> None:
    run(pod, "bad", "exit 7")
    waited = pod("task-wait", "--id=bad")
    assert waited.code == 7
    assert "wf: task bad failed with exit status 7." in waited.errors
    # a task that began in the same second may come behind it
    assert "\nbad: failed exit_code=7 started_at=" in f"\n{pod('task-list').out}"


def test_124_tells_the_tasks_time_out_from_the_waits(pod: Any) -> None:
    run(pod, "slow", "sleep 600")
    waited = pod("task-wait", "--id", "slow", "--timeout-secs", "0.2")
    assert waited.code == 124
    assert "wf: the wait for task slow timed out; the task is running." in waited.errors
    run(pod, "limited", "sleep 600", "--timeout-secs", "1")
    waited = pod("task-wait", "--id", "limited", "--timeout-secs", "60")
    assert waited.code == 124
    assert "wf: task limited timed out: ran longer than 1 s." in waited.errors


def test_logs_f_follows_a_task_to_its_end_and_task_stop_brings_it(pod: Any) -> None:
    run(pod, "long", "echo one; sleep 600")
    with pod.start("logs", "-f", "long") as log:
        assert log.stdout.readline().endswith(" one\n")
        stopped = pod("task-stop", "--id", "long", "--json").document
        assert (stopped["stopped"], stopped["leftovers"]) == (True, [])
        assert log.wait(timeout=120) == 0, log.stderr.read()
    waited = pod("task-wait", "--id", "long")
    assert waited.code == 143
    assert "stopped by the user" in waited.errors


def test_what_cannot_be_is_a_mistake_and_contacts_nothing(wf: Any) -> None:
    for task_id in ("../x", "x\n"):
        told = wf("task-run", f"--id={task_id}", "--cmd", " ")
        assert told.code == 4
        assert "not a task id" in told.problems[0]
        assert "--cmd" in told.problems[1]
    assert wf("task-run", "--id", "a", "--cmd", "true", "--timeout-secs", "-1").code == 4
    assert not (wf.root / ".wf").exists()


def test_a_task_that_is_not_there_is_refused_with_1(pod: Any) -> None:
    told = pod("task-wait", "--id", "nothing")
    assert (told.code, told.problems) == (
        1,
        ["the pod has no task nothing. See `wf task-list`."],
    )


def test_before_the_pod_is_ready_no_task_is_run(wf: Any) -> None:
    wf.all_good("config-sync")
    told = wf("task-run", "--id", "a", "--cmd", "true")
    assert told.code == 1
    assert "Run `wf pod-status` first." in told.problems[0]


OUTCOMES: list[tuple[dict[str, Any], int, str]] = [
    ({"state": "success", "exit_code": 0}, 0, "succeeded"),
    ({"state": "failed", "exit_code": 3}, 3, "with exit status 3"),
    ({"state": "failed", "exit_code": 124}, 124, "failed with exit status 124"),
    (
        {"state": "failed", "exit_code": 0, "reason": "stopped by the user"},
        1,
        "stopped by the user",
    ),
    ({"state": "failed", "exit_code": None}, 1, "failed"),
    ({"state": "timed_out", "exit_code": 0}, 124, "task t timed out"),
    ({"state": "running", "wait_timed_out": True}, 124, "the wait for task t timed out"),
    ({"state": "lost", "exit_code": 0}, 1, "is lost"),
    ({"state": "unreadable", "exit_code": 0}, 1, "is unreadable"),
]


@pytest.mark.parametrize(("facts", "code", "said"), OUTCOMES)
def test_only_a_good_end_exits_with_0(facts: dict[str, Any], code: int, said: str) -> None:
    told, why = tasks.exit_code_of({"task_id": "t", **facts})
    assert told == code
    assert said in why
