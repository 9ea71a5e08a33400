"""Flows whose pod does not answer: it is waited for once, and lost after that."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import until

pytestmark = pytest.mark.slow

ALL = ("--wf-wait=true", "--wf-fetch=all")
RESUME = ("--wf-sweep=resume", *ALL)
NAMES = ("one", "two", "three")
#: What a flow says when it has seen the end of the first row.
ONE_IS_DONE = " 1/3 rows done"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file that the second row waits for."""
    return tmp_path / "gate"


@pytest.fixture
def remote(
    new_project: Callable[..., Any], over_ssh: Callable[..., Any], wire: Any, gate: Path
) -> Iterator[Any]:
    """A project whose pod is at the end of a wire; its second row trains until the gate opens."""
    two = f"two,default.py,1,steps=40 wait_for={gate},"
    yield over_ssh(new_project(rows=("one,default.py,1,,", two, "three,default.py,1,,")), wire)
    wire.mend()
    gate.touch()


def in_row_two(project: Any) -> bool:
    log = project.outputs / "two" / "stdout.log"
    return log.exists() and "training two" in log.read_text()


def ran_once(project: Any) -> None:
    for run_id in NAMES:
        begun = (project.outputs / run_id / "out" / "argv.json").read_text().splitlines()
        assert len(begun) == 1, run_id


def states(flown: Any) -> dict[str, str]:
    return {row["run_id"]: row["state"] for row in flown.record("flow.summary")["rows"]}


@pytest.mark.fault("N6")
def test_a_pod_that_comes_back_is_waited_for(remote: Any, wire: Any, gate: Path) -> None:
    run = remote.start(*ALL)
    until(lambda: in_row_two(remote), "row two trains")
    refused = wire.refused
    wire.kill()
    until(lambda: wire.refused > refused, "the flow tries to reach it")
    wire.mend()
    gate.touch()
    run.wait()
    assert run.code == 0, run.output
    assert "no answer from the pod" in run.output
    assert "silent for 0:" in run.output
    ran_once(remote)


@pytest.mark.long
@pytest.mark.fault("N6")
def test_a_log_that_is_followed_over_a_silence_has_no_gap_and_nothing_twice(
    remote: Any, wire: Any, gate: Path
) -> None:
    assert remote.flow().code == 0
    until(lambda: in_row_two(remote), "row two trains")
    followed = wf(remote, "logs", "two", "-f")
    assert followed.stdout is not None
    first = followed.stdout.readline()
    refused = wire.refused
    wire.kill()
    gate.touch()
    until(lambda: wire.refused > refused, "it tries to reach the pod")
    wire.mend()
    rest, said = followed.communicate(timeout=120)
    assert followed.returncode == 0, said
    assert "no answer from the pod" in said
    assert first + rest == (remote.outputs / "two" / "stdout.log").read_text()


def wf(project: Any, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from pytest_wf.cli.main import main; main()", *words],
        cwd=project.root,
        env=dict(project.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.fault("P3")
def test_a_pod_that_is_gone_for_good_leaves_its_rows_unknown_and_a_resume_ends_them(
    remote: Any, wire: Any, gate: Path
) -> None:
    # a login takes seconds on a slow machine
    remote.configure(POD_WAIT_MAX_SECS="15", POD_SILENCE_MAX_SECS="2")
    run = remote.start(*ALL)
    until(lambda: in_row_two(remote), "row two trains")
    run.wait_until_said(ONE_IS_DONE)
    wire.kill()
    run.wait()
    assert run.code == 1, run.output
    assert states(run) == {"one": "success", "two": "unknown", "three": "unknown"}
    assert "row two is unknown: pod lost since " in run.output
    assert run.record("phase.P99.evidence")["rows"]["two"]["reason"].startswith("pod lost since ")
    assert run.record("flow.summary")["failed_phase"] == "P70"
    assert run.record("phase.P90.verdict")["phase_pass"]
    assert run.record("phase.P90.evidence")["facts"]["kept"]
    assert run.record("phase.P99.verdict")["phase_pass"]

    wire.mend()
    gate.touch()
    resumed = remote.flow(*RESUME)
    assert resumed.code == 0, resumed.output
    ran_once(remote)


@pytest.mark.long
@pytest.mark.fault("P3")
def test_a_pod_that_dies_in_a_long_operation_ends_the_flow_and_is_kept(
    remote: Any, wire: Any, tmp_path: Path
) -> None:
    script, begun = tmp_path / "script.sh", tmp_path / "begun"
    script.write_text(f"touch {begun}\nwhile [ ! -e {tmp_path}/gate ]; do sleep 0.1; done\n")
    remote.configure(POD_WAIT_MAX_SECS="2", BOOTSTRAP_SCRIPT=str(script))
    run = remote.start(*ALL)
    until(begun.exists, "the script runs")
    wire.kill()
    run.wait()
    assert run.code == 1, run.output
    summary = run.record("flow.summary")
    assert (summary["failed_phase"], summary["failure_kind"]) == ("P40", "link-lost")
    assert "pod lost since " in run.record("phase.P40.evidence")["error"]
    assert run.record("phase.P90.verdict")["phase_pass"]
    assert run.record("phase.P99.verdict")["phase_pass"]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_a_signal_ends_the_wait_for_a_pod_that_is_a_black_hole(
    remote: Any, wire: Any, number: int
) -> None:
    run = remote.start(*ALL)
    until(lambda: in_row_two(remote), "row two trains")
    run.wait_until_said(ONE_IS_DONE)
    wire.silence()
    run.process.send_signal(number)
    run.wait()
    assert run.code == 2, run.output
    assert states(run) == {"one": "success", "two": "unknown", "three": "unknown"}
    assert run.record("phase.P90.verdict")["phase_pass"]
    assert run.record("phase.P99.verdict")["phase_pass"]


@contextmanager
def flapping(wire: Any, every_s: float) -> Iterator[None]:
    """Cut the wire again and again."""
    ended = threading.Event()

    def flap() -> None:
        while not ended.wait(every_s):
            wire.cut()

    thread = threading.Thread(target=flap, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.long
@pytest.mark.fault("N8")
def test_a_link_that_breaks_every_few_seconds_brings_a_sweep_to_its_end(
    remote: Any, wire: Any, gate: Path
) -> None:
    run = remote.start("--wf-wait=true")
    until(lambda: in_row_two(remote), "row two trains")
    before = wire.connections
    with flapping(wire, 3):
        until(lambda: wire.connections > before + 2, "it is opened anew")
        gate.touch()
        run.wait()
    assert run.code == 0, run.output
    assert wire.connections - before < 40
    ran_once(remote)


@pytest.mark.fault("N12")
def test_another_pod_at_the_same_address_stops_the_flow(
    remote: Any, wire: Any, make_sshd: Callable[..., Any]
) -> None:
    stranger = make_sshd()
    run = remote.start(*ALL)
    until(lambda: in_row_two(remote), "row two trains")
    wire.to = stranger.port
    wire.cut()
    run.wait()
    assert run.code == 1, run.output
    assert run.record("flow.summary")["failure_kind"] == "host-key"
    assert stranger.accepted() == 0
    assert run.record("phase.P90.evidence")["facts"]["kept"]


@pytest.mark.long
@pytest.mark.fault("C4")
def test_a_controller_that_was_suspended_goes_on(remote: Any, gate: Path) -> None:
    remote.configure(POD_WAIT_MAX_SECS="5", POD_SILENCE_MAX_SECS="5")
    run = remote.start(*ALL)
    until(lambda: in_row_two(remote), "row two trains")
    run.process.send_signal(signal.SIGSTOP)
    threading.Event().wait(45)  # longer than a lease lasts, and than a living agent is silent
    gate.touch()
    run.process.send_signal(signal.SIGCONT)
    run.wait()
    assert run.code == 0, run.output
    ran_once(remote)


@pytest.mark.parametrize(
    "words",
    [
        ("doctor",),
        pytest.param(("sweep-watch",), marks=pytest.mark.long),
        pytest.param(("logs", "two", "-f"), marks=pytest.mark.long),
    ],
)
def test_ctrl_c_ends_a_command_that_waits_for_a_black_hole(
    remote: Any, wire: Any, words: tuple[str, ...]
) -> None:
    if words != ("doctor",):
        assert remote.flow().code == 0
        until(lambda: in_row_two(remote), "row two trains")
    before = wire.connections
    if words == ("doctor",):
        wire.silence()
    command = wf(remote, *words)
    until(lambda: wire.connections > before, "it contacts the pod")
    if words != ("doctor",):
        assert command.stdout is not None
        until(command.stdout.readline, "it watches")
        wire.silence()
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert command.returncode == 130
