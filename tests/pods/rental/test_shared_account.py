"""One rate and one listing for all pods of a process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.shared_account import Pace, SharedListing
from tests.support.waiting import until

DEADLINE_S = 60.0


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@given(st.lists(st.floats(0, 30), min_size=1, max_size=300), st.integers(1, 60))
def test_no_window_has_more_requests_than_are_allowed(pauses: list[float], allowed: int) -> None:
    clock, sent = Clock(), []
    pace = Pace(allowed, 60.0, clock.time, clock.sleep)
    for pause in pauses:
        clock.sleep(pause)
        pace.wait()
        sent.append(clock.now)
    for first, beyond in zip(sent, sent[allowed:], strict=False):
        assert beyond - first >= 60.0 - 1e-9


def test_a_request_that_is_allowed_does_not_wait() -> None:
    clock = Clock()
    pace = Pace(60, 60.0, clock.time, clock.sleep)
    for _ in range(60):
        pace.wait()
    assert clock.now == 0.0


class Listings:
    """Listings that end when the test says so."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.count = 0
        self.error: Exception | None = None

    def ask(self) -> Sequence[Pod]:
        self.count += 1
        number = self.count
        self.begun.release()
        assert self.may_end.acquire(timeout=DEADLINE_S)
        if self.error is not None:
            raise self.error
        return [Pod(id=str(number), name="", status="RUNNING")]


def test_all_who_wait_at_one_time_get_one_listing_that_was_begun_after_they_asked() -> None:
    listings, shared = Listings(), SharedListing()
    asked = threading.Semaphore(0)

    def ask() -> str:
        asked.release()
        return shared.pods(listings.ask)[0].id

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(ask)
        assert listings.begun.acquire(timeout=DEADLINE_S)
        others = [pool.submit(ask) for _ in range(4)]
        for _ in range(5):
            assert asked.acquire(timeout=DEADLINE_S)
        until(lambda: len(shared._changed._waiters) == 4)  # type: ignore[attr-defined]
        listings.may_end.release(2)
        assert first.result(DEADLINE_S) == "1"
        assert [other.result(DEADLINE_S) for other in others] == ["2"] * 4
    assert listings.count == 2


def test_a_listing_without_an_answer_is_none_for_all_who_wait() -> None:
    listings, shared = Listings(), SharedListing()
    listings.error = OperationFailed("provider", "no answer.", "")
    listings.may_end.release(2)
    for _ in range(2):
        with pytest.raises(OperationFailed, match="no answer"):
            shared.pods(listings.ask)
    assert listings.count == 2


def test_a_thread_that_is_interrupted_leaves_the_listing_to_the_next_one() -> None:
    shared = SharedListing()

    def interrupted() -> Sequence[Pod]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared.pods(interrupted)
    assert shared.pods(list) == []
