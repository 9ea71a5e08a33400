"""How tasks on a real pod end, and what their records say then."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.wire.process import boot_id
from tests.support.task_pod import TaskPod
from tests.support.waiting import until

#: Starts a worker in a session of its own, as torchrun does; both take no notice of SIGTERM.
#: A shell, because it begins at once, also on a busy machine.
STUBBORN = 'trap \'\' TERM; echo here; [ "$1" ] || setsid sh "$0" worker & sleep 600'


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


def test_the_config_sets_the_time_limit_and_0_means_none(pod_of: Callable[..., TaskPod]) -> None:
    pod = pod_of(TASK_TIMEOUT_SECS="1")
    assert pod.done("t", "sleep 600")["state"] == "timed_out"
    assert pod.done("u", "sleep 1.5", timeout_s=0)["state"] == "success"


def test_a_damaged_status_is_unreadable_never_success(pod: TaskPod) -> None:
    pod.done("t", "true")
    for raw in (b"", b"{", b"[]", b'{"state": "great"}', b'{"state": NaN}', b"\xff"):
        pod.file("t", "status.json").write_bytes(raw)
        found = pod.status("t")
        assert (found["state"], found["exit_code"]) == ("unreadable", None), raw
        assert found["reason"]
