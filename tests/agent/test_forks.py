"""A program of the agent's that is forked has what a new process would have."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import fork_helper, forks, process
from pytest_wf.agent.wakeup import Wakeup, wake
from tests.support import fork_probe
from tests.support.waiting import until


def started(tmp_path: Path, *words: str) -> str:
    """What a program that an agent's process starts writes into its log."""
    log = tmp_path / "log"
    root = Path(forks.__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": f"{root}"}
    environ.pop(process.COOKIE, None)
    # a fork has as much room for its arguments as its parent
    probe = [sys.executable, fork_probe.__file__, str(log), *words, "-" * 1000]
    subprocess.run(probe, env=environ, check=True)
    return log.read_text()


def test_a_fork_inherits_no_descriptor_handler_or_child_and_shows_its_own_arguments(
    tmp_path: Path,
) -> None:
    told: dict[str, Any] = json.loads(started(tmp_path))

    log = str(tmp_path / "log")
    assert (told["stdin"], told["leads"], told["cwd"]) == ("told on stdin", True, "/")
    assert told["open"] == [os.devnull, log, log]
    assert (told["handles"], told["children"]) == ([], False)
    assert told["argv"][-2:] == ["probe", *told["words"]]
    assert told["argv"][0] == sys.executable


def test_a_process_with_threads_is_not_forked(tmp_path: Path) -> None:
    assert started(tmp_path, "threads") == "unknown agent command: probe\n"


def test_a_helper_forks_for_a_process_with_threads_and_ends_with_it(tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads(started(tmp_path, "helper", "threads"))

    assert (told["stdin"], told["leads"], told["cookie"]) == ("told on stdin", True, "c")
    assert len(told["open"]) == 3, "neither its pipes nor its parent's"
    assert (told["handles"], told["children"]) == ([], False)
    until(lambda: not process.living([told["parent"]]), "the helper ends")


def test_a_server_begins_without_what_only_runners_need() -> None:
    root = Path(forks.__file__).parents[2]
    program = "import sys; sys.path.insert(0, sys.argv[1])\n"
    program += "import pytest_wf.agent.server.dispatch; print(*sys.modules)"
    argv = [sys.executable, "-I", "-S", "-c", program, str(root)]
    imported = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()

    assert "pytest_wf.agent.sweep.start_request" in imported
    assert "pytest_wf.agent.run.attempt" not in imported
    assert not [name for name in imported if ".run.metrics" in name]


def test_a_helper_that_is_gone_is_done_without(tmp_path: Path) -> None:
    asking, answers = os.pipe(), os.pipe()
    for fd in (asking[0], answers[1]):
        os.close(fd)
    asked = fork_helper.Asked(("probe",), str(tmp_path / "log"), b"", None, "")
    assert fork_helper.Client(asking[1], answers[0]).ask(asked) is None
    for fd in (asking[1], answers[0]):
        os.close(fd)


def test_a_helper_says_why_it_cannot_fork(tmp_path: Path) -> None:
    def no_room(asked: fork_helper.Asked) -> int:
        assert asked == fork_helper.Asked(("probe", "\u00e4"), "log", b"\xff\n", None, "")
        raise OSError(errno.EAGAIN, "no room")

    asking, answers = os.pipe(), os.pipe()
    told: list[str] = []
    args = (asking[0], answers[1], no_room, lambda: told.append("then"))
    helper = threading.Thread(target=fork_helper.serve, args=args)
    helper.start()
    with pytest.raises(OSError, match="no room"):
        fork_helper.Client(asking[1], answers[0]).ask(
            fork_helper.Asked(("probe", "\u00e4"), "log", b"\xff\n", None, "")
        )
    os.close(asking[1])
    helper.join(60)
    assert told == ["then"]
    for fd in (asking[0], *answers):
        os.close(fd)


def test_a_waiting_process_is_woken_by_the_end_of_a_child_and_by_another_process() -> None:
    wakeup = Wakeup()
    try:
        child = subprocess.Popen(["true"])
        wakeup.wait(60)
        child.wait()
        wakeup.wait(0)
        wake(process.identity(os.getpid()))
        wakeup.wait(60)
    finally:
        wakeup.close()
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_a_process_that_does_not_wait_is_not_harmed_by_being_woken(tmp_path: Path) -> None:
    known = process.spawn_session(["sleep", "600"], log_path=str(tmp_path / "log"))
    wake(known)
    assert process.is_alive(known)
    assert process.kill_tree("", known, 1) == []
