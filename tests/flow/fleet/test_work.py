"""An operation in a member's thread: its result, its error, and how it is ended."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_wf.console.live import News
from pytest_wf.flow.fleet.fleet_console import FleetConsole
from pytest_wf.flow.fleet.work import Work


def _nothing() -> None:
    pass


def test_the_result_of_an_operation_is_that_of_the_wait() -> None:
    assert Work("pod1", lambda: 7).start().wait(_nothing) == 7


def test_an_error_of_the_operation_is_raised_by_the_wait() -> None:
    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Work("pod1", fail).start().wait(_nothing)


def test_an_interrupted_wait_ends_the_operation_which_still_cancels_what_it_began() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    def endless() -> int:
        begun.set()
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            cancelled.set()
            raise

    def time_is_up() -> None:
        if begun.is_set():
            raise TimeoutError("the phase's limit")

    work = Work("pod1", endless).start()
    with pytest.raises(TimeoutError):
        work.wait(time_is_up)
    assert cancelled.is_set() and work.has_ended


def test_a_stopped_operation_of_another_member_is_interrupted_there() -> None:
    begun = threading.Event()

    def endless() -> int:
        begun.set()
        while True:
            time.sleep(0.01)

    work = Work("pod2", endless).start()
    begun.wait()
    work.stop()
    with pytest.raises(KeyboardInterrupt):
        work.wait(_nothing)


def test_an_operation_is_interrupted_once_so_that_it_can_cancel_what_it_began() -> None:
    begun, cancels, may_end = threading.Event(), threading.Event(), threading.Event()
    cancelled: list[int] = []

    def endless() -> int:
        begun.set()
        try:
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            cancels.set()
            while not may_end.is_set():
                time.sleep(0.01)
            cancelled.append(1)
            raise

    work = Work("pod1", endless).start()
    begun.wait()
    work.stop()
    cancels.wait()
    work.stop()
    may_end.set()
    work.end(_nothing)
    assert cancelled == [1]


def test_an_operation_that_was_stopped_before_it_started_does_nothing() -> None:
    done: list[int] = []
    work = Work("pod1", lambda: done.append(1))
    work.stop()
    with pytest.raises(KeyboardInterrupt):
        work.start().wait(_nothing)
    assert not done


class _Printed:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.news: list[News] = []
        self.threads: set[threading.Thread] = set()

    def say(self, text: str) -> None:
        self.threads.add(threading.current_thread())
        self.lines.append(text)

    def show(self, news: News) -> None:
        self.threads.add(threading.current_thread())
        self.news.append(news)


def test_what_members_say_in_threads_is_written_by_the_main_thread_alone() -> None:
    printed = _Printed()
    console = FleetConsole(printed)

    def work(name: str) -> int:
        console.of(name).say("a line")
        console.of(name).show(News("P40 BOOTSTRAP", "apt"))
        return 1

    for name in ("pod10", "pod2"):
        Work(name, lambda name=name: work(name)).start().wait(console.flush)  # type: ignore[misc]
    assert sorted(printed.lines) == ["pod10: a line", "pod2: a line"]
    assert printed.news[-1].rows == ("pod2 apt", "pod10 apt")
    assert printed.threads == {threading.main_thread()}
