"""Whether a process has ended: known by its pid and start time, or unknown."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_wf.wire import process


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until its stdin closes."""
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield started
    started.kill()
    started.communicate()


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without /proc."""
    exists = os.path.exists
    monkeypatch.setattr(process, "stat", lambda pid: None)
    monkeypatch.setattr(os.path, "exists", lambda path: path != "/proc/self/stat" and exists(path))


@pytest.mark.fault("P7")
def test_a_process_has_ended_when_it_is_a_zombie_or_its_pid_is_another_ones(
    running: subprocess.Popen[bytes],
) -> None:
    began = process.start_time(running.pid)
    assert not process.has_ended(running.pid, began)
    assert process.has_ended(running.pid, "1")
    assert not process.has_ended(running.pid, "")
    running.kill()
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert process.has_ended(running.pid, began)
    running.wait()
    assert process.has_ended(running.pid, began)


@pytest.mark.parametrize("ps", ["", "#!/bin/sh\nexit 1\n"])
@pytest.mark.usefixtures("without_proc")
def test_a_process_whose_start_time_cannot_be_read_has_not_ended(
    running: subprocess.Popen[bytes], ps: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ps:
        (tmp_path / "ps").write_text(ps)
        (tmp_path / "ps").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert process.start_time(running.pid) == ""
    assert not process.has_ended(running.pid, "Sat Jan  3 00:00:00 2026")
    running.kill()
    running.wait()
    assert process.has_ended(running.pid, "Sat Jan  3 00:00:00 2026")


def test_a_process_that_was_started_just_now_is_known_by_its_environment() -> None:
    for _ in range(30):  # inside `execve` there is a moment without one
        with subprocess.Popen(["sleep", "600"], env={"WF_MARK": "one"}) as started:
            found = process.environ_of(started.pid)
            started.kill()
        assert b"WF_MARK=one\0" in found


def test_what_never_has_an_environment_is_not_waited_for(
    running: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_EXEC_S", 1e9)
    with subprocess.Popen(["sleep", "600"], env={}) as started:
        assert process.environ_of(started.pid) == b""
        started.kill()
    running.kill()
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert process.environ_of(running.pid) == b""
    monkeypatch.setattr(process, "read_proc", lambda path: None)  # it may not be looked at
    assert process.environ_of(os.getpid()) == b""
