"""An operation in a member's thread: its result, its error, and how it is ended."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial

import pytest

from pytest_wf.console.live import News
from pytest_wf.flow.fleet.fleet_console import FleetConsole
from pytest_wf.flow.fleet.work import Work, side_by_side


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
        try:
            begun.set()  # from here on it may be interrupted
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
        try:
            begun.set()  # from here on it may be interrupted
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


def test_pods_are_asked_at_once_and_their_answers_have_the_order_of_the_questions() -> None:
    both = threading.Barrier(2)
    found = side_by_side({name: lambda: both.wait(120) for name in ("pod1", "pod2")})
    assert list(found) == ["pod1", "pod2"] and sorted(found.values()) == [0, 1]


def test_a_few_threads_ask_many_pods() -> None:
    threads: set[str] = set()

    def ask() -> int:
        threads.add(threading.current_thread().name)
        return 1

    found = side_by_side({f"pod{n}": ask for n in range(100)})
    assert len(found) == 100 and len(threads) <= 32


def test_an_interruption_ends_the_questions_to_all_pods_before_it_goes_on() -> None:
    asked, ended = threading.Barrier(3), set[str]()

    def ask(name: str) -> int:
        try:
            asked.wait(120)
            while True:  # the interruption may come while it still waits
                time.sleep(0.01)
        finally:
            ended.add(name)

    def interrupt() -> None:
        asked.wait(120)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side({name: partial(ask, name) for name in ("pod1", "pod2")})
    assert ended == {"pod1", "pod2"}


def test_an_error_in_a_question_is_raised_when_all_have_ended() -> None:
    is_asked = threading.Event()

    def fail() -> int:
        raise ValueError("no")

    def ask() -> int:
        is_asked.set()
        return 1

    with pytest.raises(ValueError, match="no"):
        side_by_side({"pod1": fail, "pod2": ask})
    assert is_asked.is_set()


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
