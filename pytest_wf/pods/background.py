"""Waits for what cannot be interrupted: a name's resolution, another library's connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pytest_wf import threads

T = TypeVar("T")

#: The longest single wait: an interruption of a thread is noticed only between two of them.
_SLICE_S = 0.5


def in_background(
    work: Callable[[], T], within_s: float | None, discard: Callable[[T], Any] = lambda found: None
) -> T:
    """`work()` in a thread of its own: `within_s` and Ctrl-C end the wait for it at once.

    The thread then goes on by itself, and `discard` gets its result. Raises TimeoutError, and what
    `work` raises.
    """
    attempt = _Attempt(work, discard)
    try:
        end = float("inf") if within_s is None else time.monotonic() + within_s
        while not attempt.ended.wait(max(0.0, min(_SLICE_S, end - time.monotonic()))):
            if time.monotonic() >= end:
                raise TimeoutError
    except BaseException:
        attempt.abandon()
        raise
    if attempt.error is not None:
        raise attempt.error
    found: T = attempt.result
    return found


def side_by_side(works: Sequence[Callable[[], T]]) -> list[T]:
    """The results of `works`, each in a thread of its own; Ctrl-C ends the wait for them at once.

    Raises what one of them raises, when all have ended.
    """
    attempts: list[_Attempt] = [_Attempt(work, lambda found: None) for work in works]
    for attempt in attempts:
        attempt.ended.wait()
    for attempt in attempts:
        if attempt.error is not None:
            raise attempt.error
    return [attempt.result for attempt in attempts]


class _Attempt:
    def __init__(self, work: Callable[[], Any], discard: Callable[[Any], Any]) -> None:
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self.result: Any = None
        self._work = work
        self._discard = discard
        self._lock = threading.Lock()
        self._is_abandoned = False
        threads.start(threading.Thread(target=self._run, name="wf-background", daemon=True))

    def abandon(self) -> None:
        with self._lock:
            self._is_abandoned = True
            if self.ended.is_set() and self.error is None:
                self._discard(self.result)

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as e:  # noqa: BLE001 - it is raised by the thread that waits
            self.error = e
        with self._lock:
            self.ended.set()
            if self._is_abandoned and self.error is None:
                self._discard(self.result)
