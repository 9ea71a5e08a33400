"""Processes are known for certain, and ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_wf.agent import process
from pytest_wf.wire.process import stat
from tests.support.waiting import until

# What torchrun does: workers in sessions of their own, deaf to SIGTERM, their parent gone.
_TORCHRUN_STAND_IN = """
import signal, subprocess, sys, time
worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
for _ in range(2):
    subprocess.Popen([sys.executable, "-S", "-c", worker], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def cookie() -> Iterator[str]:
    """A cookie of this test; whatever carries it is gone afterwards."""
    value = uuid.uuid4().hex
    yield value
    process.kill_tree(value, None, grace_s=0)


def stand_in(tmp_path: Path, cookie: str) -> process.Identity:
    log = tmp_path / "log"
    argv = [sys.executable, "-S", "-c", _TORCHRUN_STAND_IN]
    known = process.spawn_session(argv, log_path=str(log), env=process.cookie_env(cookie))
    until(lambda: log.exists() and "up" in log.read_text())
    until(lambda: len(process.holders(cookie)) == 3)
    return known


@pytest.mark.fault("P9")
def test_workers_in_sessions_of_their_own_that_ignore_sigterm_are_ended(
    tmp_path: Path, cookie: str
) -> None:
    known = stand_in(tmp_path, cookie)

    assert process.kill_tree(cookie, known, grace_s=0.2) == []

    assert process.holders(cookie) == set()
    assert not process.is_alive(known)


@pytest.mark.fault("P8")
def test_orphans_of_a_killed_launcher_are_found_by_their_cookie(
    tmp_path: Path, cookie: str
) -> None:
    known = stand_in(tmp_path, cookie)
    os.kill(known["pid"], signal.SIGKILL)
    until(lambda: not process.is_alive(known))
    assert len(process.holders(cookie)) == 2

    assert process.kill_tree(cookie, known, grace_s=0.2) == []

    assert process.holders(cookie) == set()


def test_a_child_that_emptied_its_environment_is_found_by_its_parent(
    tmp_path: Path, cookie: str
) -> None:
    argv = ["sh", "-c", "env -i sleep 600 & wait"]
    known = process.spawn_session(
        argv, log_path=str(tmp_path / "log"), env=process.cookie_env(cookie)
    )
    children = Path(f"/proc/{known['pid']}/task/{known['pid']}/children")

    def bare() -> bool:
        pids = children.read_text().split()
        return bool(pids) and Path(f"/proc/{pids[0]}/comm").read_text() == "sleep\n"

    until(bare)
    child = process.identity(int(children.read_text().split()[0]))

    assert process.kill_tree(cookie, known, grace_s=1) == []

    assert not process.is_alive(child)


@pytest.mark.fault("P7")
def test_a_cookie_is_compared_whole_and_strangers_live(tmp_path: Path, cookie: str) -> None:
    log = str(tmp_path / "log")
    env = {**os.environ, "WF_COOKIE": cookie + "0", "OTHER": f"WF_COOKIE={cookie}"}
    stranger = process.spawn_session(["sleep", "600"], log_path=log, env=env)
    # its environment can be read a moment after it has begun
    until(lambda: process.holders(cookie + "0"), "the cookie is seen")

    assert process.kill_tree(cookie, None, grace_s=0) == []
    assert process.is_alive(stranger)

    assert process.kill_tree(cookie + "0", None, grace_s=1) == []
    assert not process.is_alive(stranger)


@pytest.mark.fault("P7")
def test_a_recycled_pid_is_not_the_process(tmp_path: Path, cookie: str) -> None:
    known = process.spawn_session(["sleep", "600"], log_path=str(tmp_path / "log"))
    namesake = {**known, "start_ticks": known["start_ticks"] - 1}

    assert not process.is_alive(namesake)
    assert process.kill_tree(cookie, namesake, grace_s=0) == []
    assert process.is_alive(known)
    assert process.kill_tree(cookie, known, grace_s=1) == []


def test_a_process_from_before_the_last_boot_is_dead() -> None:
    me = process.identity(os.getpid())

    assert process.is_alive(me)
    assert not process.is_alive({**me, "boot_id": "another boot"})


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen(["true"])
    known = process.identity(child.pid)
    try:
        until(lambda: (found := stat(child.pid)) is not None and found.state == "Z")
        assert not process.is_alive(known)
    finally:
        child.wait()


@pytest.mark.parametrize("known", [{}, {"pid": "x"}, {"pid": 1}, {"pid": None, "start_ticks": 1}])
def test_an_identity_that_is_none_is_not_alive(known: dict[str, object]) -> None:
    assert not process.is_alive(known)


def test_the_sweep_spares_its_own_process(
    cookie: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = (
        "import os, sys; from pytest_wf.agent import process\n"
        "print(process.kill_tree(os.environ['WF_COOKIE'], process.identity(os.getpid()), 0))"
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(process.__file__).parents[2]))

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=process.cookie_env(cookie),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_a_spawned_process_leads_its_session_and_inherits_no_descriptor(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (tmp_path / "open").open("w"):
        known = process.spawn_session(
            ["sh", "-c", "read line; echo got $line; ls -l /proc/self/fd; exec sleep 600"],
            log_path=str(log),
            stdin=b"words\n",
        )
        until(lambda: "got words" in log.read_text() and log.read_text().count("\n") > 4)
    found = stat(known["pid"])

    assert found is not None
    assert found.session == known["pid"]
    assert str(tmp_path / "open") not in log.read_text()
    assert process.kill_tree("", known, grace_s=1) == []


def test_the_agents_own_command_line_works_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        process.agent_argv("no-such-word"), cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "no-such-word" in done.stderr
