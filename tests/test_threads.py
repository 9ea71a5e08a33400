"""Threads that may be interrupted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pytest_wf import threads
from tests.support.waiting import until


def in_thread(work: Callable[[], None]) -> threading.Thread:
    """Does `work` in a thread."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_an_interruption_waits_until_a_thread_that_is_being_started_has_begun() -> None:
    being_started, may_start, seen = threading.Event(), threading.Event(), list[str]()

    class Slow(threading.Thread):
        def start(self) -> None:
            being_started.set()
            may_start.wait()
            super().start()

    def starts_another() -> None:
        try:
            threads.start(Slow(target=lambda: seen.append("begun"), daemon=True))
            while True:
                time.sleep(0.001)
        except KeyboardInterrupt:
            seen.append("interrupted")

    one = in_thread(starts_another)
    being_started.wait()
    other = in_thread(lambda: threads.interrupt(one))
    other.join(0.05)
    assert other.is_alive()
    may_start.set()
    until(lambda: len(seen) == 2, "both")
    assert sorted(seen) == ["begun", "interrupted"]


def test_threads_that_start_others_all_the_time_end_when_they_are_interrupted() -> None:
    def starts_others() -> None:
        try:
            while True:
                threads.start(threading.Thread(target=int))
        except KeyboardInterrupt:
            pass

    some = [in_thread(starts_others) for _ in range(20)]
    for one in some:
        threads.interrupt(one)
    until(lambda: not any(one.is_alive() for one in some), "all have ended")


def test_a_pool_in_an_interrupted_thread_ends_with_what_it_had_begun() -> None:
    done = list[int]()

    def uses_pools() -> None:
        try:
            while True:
                with threads.ThreadPool(4) as pool:
                    done.extend(pool.map(abs, range(8)))
        except KeyboardInterrupt:
            pass

    one = in_thread(uses_pools)
    until(lambda: len(done) > 8, "the pool works")
    threads.interrupt(one)
    until(lambda: not one.is_alive(), "the thread has ended")


def test_a_thread_that_has_ended_or_not_begun_is_not_interrupted_nor_one_with_its_id() -> None:
    one, go, done = in_thread(lambda: None), threading.Event(), list[str]()
    one.join()

    def waits() -> None:
        go.wait()
        done.append("done")

    other = in_thread(waits)  # it usually has the id of the one that has ended
    threads.interrupt(one)
    threads.interrupt(threading.Thread())
    go.set()
    other.join()
    assert done == ["done"]
