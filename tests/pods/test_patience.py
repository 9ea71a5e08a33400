"""Patience is for continuous silence, is paid once, and does not count a suspended process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.pods.awake_clock import AwakeClock
from pytest_wf.pods.background import in_background
from pytest_wf.pods.patience import Patience
from tests.support.waiting import until


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    """Patience of 60 s."""
    return Patience(60, pod="pod-1", clock=clock)


def test_a_pod_is_lost_after_the_limit_of_continuous_silence(
    patience: Patience, clock: Clock
) -> None:
    patience.silent("no route")
    clock.now += 59
    assert not patience.lost
    clock.now += 1
    assert patience.lost.startswith("pod lost since ")
    assert "pod-1: no route" in str(patience.error())


def test_any_answer_restores_patience(patience: Patience, clock: Clock) -> None:
    patience.silent("no route")
    clock.now += 59
    patience.answered()
    patience.silent("no route")
    clock.now += 59
    assert not patience.is_over


def test_silence_is_counted_from_the_last_answer_on(patience: Patience, clock: Clock) -> None:
    patience.answered()
    clock.now += 30
    patience.silent("the pod was silent", for_s=20)
    assert patience.silent_s == 20
    patience.silent("an older question got no answer either", for_s=500)
    assert patience.silent_s == 30


def test_a_refusal_is_an_answer_and_an_error_of_ours_is_none(
    patience: Patience, clock: Clock
) -> None:
    for error, is_silent in ((OperationFailed("apt", "failed"), False), (TimeoutError(), True)):
        patience.silent("no route")
        clock.now += 1
        with pytest.raises(type(error)), patience.asking():
            raise error
        assert (patience.silent_s > 0) == is_silent


def test_a_lost_pod_that_gave_no_answer_just_now_is_not_tried_again_at_once(
    patience: Patience, clock: Clock
) -> None:
    patience.silent("no route")
    patience.demand_a_try()
    clock.now += 60
    patience.silent("no route")
    with pytest.raises(LinkLost, match="pod lost since"):
        patience.demand_a_try()
    clock.now += 60
    patience.demand_a_try()


def test_after_an_interruption_the_pod_has_to_answer_before_it_is_waited_for(
    patience: Patience,
) -> None:
    with pytest.raises(KeyboardInterrupt), patience.asking():
        raise KeyboardInterrupt
    assert patience.is_over
    assert not patience.lost
    patience.demand_a_try()
    patience.answered()
    assert not patience.is_over


def test_an_interruption_of_a_silence_gives_the_pod_up(patience: Patience, clock: Clock) -> None:
    patience.silent("no route")
    clock.now += 3
    patience.doubt()
    assert patience.lost
    with pytest.raises(LinkLost):
        patience.demand_a_try()


def test_what_is_watched_has_a_limit_of_its_own(patience: Patience, clock: Clock) -> None:
    patience.silent("no route")
    clock.now += 100
    with patience.limited(1800):
        assert not patience.lost
    assert patience.lost


def test_the_awake_clock_does_not_count_what_it_did_not_see(clock: Clock) -> None:
    awake = AwakeClock(clock)
    began = awake.step()
    clock.now += 0.5
    assert awake.step() - began == 0.5
    clock.now += 3600  # the process was stopped
    assert awake.step() - began < 5


def test_the_awake_clock_runs_by_itself() -> None:
    awake = AwakeClock()
    began = awake()
    until(lambda: awake() > began, "it moves on")


@pytest.mark.fault("C4")
def test_the_awake_clock_does_not_count_while_the_process_is_stopped() -> None:
    program = (
        "import time; from pytest_wf.pods.awake_clock import awake_s; began = awake_s(), "
        "time.monotonic(); print('ready', flush=True); input(); "
        "print(awake_s() - began[0], time.monotonic() - began[1])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(5)
        process.send_signal(signal.SIGCONT)
        awake, passed = map(float, process.communicate("\n")[0].split())
    assert passed >= 5
    assert awake < passed - 2


def test_what_comes_after_the_wait_for_it_was_ended_is_discarded() -> None:
    gate = threading.Event()
    late: list[str] = []

    def work() -> str:
        gate.wait()
        return "connection"

    with pytest.raises(TimeoutError):
        in_background(work, 0.01, late.append)
    gate.set()
    until(lambda: late == ["connection"], "it is discarded")


def test_ctrl_c_ends_the_wait_for_what_cannot_be_interrupted() -> None:
    gate = threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        gate.wait()

    with pytest.raises(KeyboardInterrupt):
        in_background(work, 60)
    gate.set()


def test_what_work_in_the_background_raises_is_raised_here() -> None:
    def work() -> None:
        raise LinkLost("no route")

    with pytest.raises(LinkLost, match="no route"):
        in_background(work, None)
