"""What outlives a trainer: it may finish its work, and nothing of it outlives the row."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.run import control_group
from pytest_wf.wire.files import read_json
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

#: Forks a process twice, into a session of its own and with an empty environment.
ESCAPE = (
    "import subprocess\n"
    "def escape(code):\n"
    "    if os.fork() == 0:\n"
    "        os.setsid()\n"
    "        if os.fork() == 0:\n"
    "            null = os.open(os.devnull, os.O_RDWR)\n"
    "            for fd in (0, 1, 2): os.dup2(null, fd)\n"
    "            os.execve(sys.executable, [sys.executable, '-c', code], {})\n"
    "        os._exit(0)\n"
    "    os.wait()\n"
)
DAEMON = (
    'me = f\'open({str(out / "pid")!r}, "w").write(str(os.getpid()))\'\n'
    "escape(f'import os, time; {me}; time.sleep(600)')\n"
    "while not (out / 'pid').exists() or not (out / 'pid').read_text(): time.sleep(0.02)\n"
)


def codes(row: dict[str, Any]) -> list[str]:
    """The codes of a row's notes; these trainers report no metric."""
    return [note["code"] for note in row["notes"] if note["code"] != "no-metrics"]


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_daemon_that_left_session_and_environment_does_not_outlive_its_row(pod: Any) -> None:
    pod.trainer(ESCAPE + DAEMON)
    row = pod.run_to_end(make_row("a"))["a"]
    assert row["state"] == "success"
    assert not lives(int((pod.outputs / "a/out/pid").read_text()))
    assert codes(row) == ["late-writer"]


def test_nor_does_it_outlive_a_runner_that_was_killed(pod: Any) -> None:
    pod.trainer(ESCAPE + DAEMON + "print('up', flush=True)\nwhile True: time.sleep(1)\n")
    pod.start(make_row("a", retries=0))
    until(lambda: "up" in pod.wait_for_file("a/stdout.log").read_text(), "row a is up")
    os.kill(read_json(str(pod.outputs / "a/attempts/1/pid.json"))["pid"], signal.SIGKILL)
    assert pod.ended()["rows"][0]["failure_class"] == "killed"
    assert not lives(int((pod.outputs / "a/out/pid").read_text()))


def test_nor_a_time_out(pod: Any) -> None:
    pod.trainer(ESCAPE + DAEMON + "(out / 'up').touch()\nwhile True: time.sleep(1)\n")
    pod.start(make_row("a", timeout_s=5))
    with pod.stopped_runner("a"):
        pod.wait_for_file("a/out/up")
    assert pod.ended()["rows"][0]["state"] == "timed_out"
    assert not lives(int((pod.outputs / "a/out/pid").read_text()))


def test_what_still_writes_when_the_trainer_has_ended_may_finish(pod_with: Any) -> None:
    pod = pod_with(RUN_LINGER_SECS="60")
    write = (
        "import time\nwith open({path!r}, 'w') as f:\n"
        "    for i in range(15):\n        f.write('x'); f.flush(); time.sleep(0.1)\n"
    )
    pod.trainer(ESCAPE + f"escape({write!r}.format(path=str(out / 'ckpt.pt')))\n")
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], codes(row)) == ("success", [])
    assert (pod.outputs / "a/out/ckpt.pt").read_text() == "x" * 15


def test_what_had_to_be_ended_is_a_note_and_what_it_wrote_a_result(pod_with: Any) -> None:
    pod = pod_with(RUN_LINGER_SECS="2")
    pod.trainer(
        "import subprocess\n"
        "loop = 'while :; do echo x >> \"$TRAIN_OUT_DIR/late.txt\"; sleep 0.1; done'\n"
        "subprocess.Popen(['sh', '-c', loop])\n"
        "while not (out / 'late.txt').exists(): time.sleep(0.02)\n"
    )
    row = pod.run_to_end(make_row("a"))["a"]
    assert row["state"] == "success"
    assert codes(row) == ["late-writer"]
    assert len((pod.outputs / "a/out/late.txt").read_text().split()) > 1
    assert pod.summary("a")["notes"] == row["notes"]


def test_a_stop_ends_the_waiting_for_what_still_writes(pod_with: Any) -> None:
    pod = pod_with(RUN_LINGER_SECS="600")
    pod.trainer(
        "import subprocess\n"
        "subprocess.Popen(['sh', '-c', 'while :; do echo x > \"$TRAIN_OUT_DIR/f\"; done'])\n"
        "print('done', flush=True)\n"
    )
    pod.start(make_row("a"))
    pod.wait_for_file("a/attempts/1/exit.json")
    pod.client.request("campaign-stop")
    assert pod.ended()["rows"][0]["state"] == "success", "it had ended well before the stop"


def test_orphans_leave_no_zombies_behind(pod: Any) -> None:
    pod.trainer(
        ESCAPE + "for _ in range(20): escape('pass')\n"
        "print('up', flush=True)\nwhile not (out / 'go').exists(): time.sleep(0.02)\n"
    )
    pod.start(make_row("a"))
    until(lambda: "up" in pod.wait_for_file("a/stdout.log").read_text(), "row a is up")
    runner = read_json(str(pod.outputs / "a/attempts/1/pid.json"))["pid"]

    def children() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if entry.name.isdigit() and fields[1] == str(runner):
                found.append(fields[0])
        return found

    until(lambda: len(children()) == 1, "only the trainer is left")
    (pod.outputs / "a/out/go").touch()
    assert pod.ended()["ok"] == 1


def test_a_control_group_goes_with_its_command(pod: Any) -> None:
    path = control_group.make("probe")
    if not path:
        pytest.skip("no control group can be made here")
    control_group.remove(path)
    pod.trainer("print(open('/proc/self/cgroup').read())\n")
    pod.run_to_end(make_row("a"))
    name = next(line for line in pod.log("a").splitlines() if "/wf." in line).rpartition("/")[2]
    assert not Path(path).with_name(name).exists()


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A control group whose processes can be frozen, so that no signal ends them."""
    root = Path("/sys/fs/cgroup")
    for base, control, words in (
        (root / "freezer", "freezer.state", ("FROZEN", "THAWED")),
        (root, "cgroup.freeze", ("1", "0")),
    ):
        group = base / f"wf-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / control).write_text(words[1])
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        break
    else:
        pytest.skip("no control group can be frozen here")
    yield group
    (group / control).write_text(words[1])
    until(lambda: not (group / "cgroup.procs").read_text(), "what was frozen has ended")
    group.rmdir()


@pytest.mark.fault("P9")
def test_what_cannot_be_killed_is_named_and_the_sweep_does_not_hang(
    freezer: Path, tmp_path: Path
) -> None:
    cookie = f"frozen-{os.getpid()}"
    env = process.cookie_env(cookie)
    known = process.spawn_session(["sleep", "600"], log_path=str(tmp_path / "log"), env=env)
    (freezer / "cgroup.procs").write_text(str(known["pid"]))
    state = freezer / "freezer.state"
    if state.exists():
        state.write_text("FROZEN")
    else:
        (freezer / "cgroup.freeze").write_text("1")
    assert process.kill_tree(cookie, known, grace_s=0.2, settle_s=1) == [known["pid"]]
    assert process.is_alive(known), "it is not called dead"
