"""Runs an operation of one member in a thread that Ctrl-C and time limits can interrupt."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from pytest_wf import threads

T = TypeVar("T")

#: How often the waiting thread wakes up, to show news and to be interruptible.
_LOOK_S = 0.1
#: The most threads that share the operations of `side_by_side`.
_AT_ONCE = 32
#: How long an interrupted operation may take to end what it began on its pod.
_END_S = 30.0


class Work(Generic[T]):
    """`operation()` in a thread, once it is started."""

    def __init__(self, name: str, operation: Callable[[], T]) -> None:
        self.name = name
        self._operation = operation
        self._ended = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name=f"wf-{name}", daemon=True)

    def start(self) -> Work[T]:
        """Begin the operation.

        Whoever may have to stop it must know it before: this can be interrupted when it has begun.
        """
        self._thread.start()
        return self

    @property
    def has_ended(self) -> bool:
        """Whether the operation has ended, with a result or an error."""
        # an interruption may have come before the end was recorded
        return self._ended.is_set() or not self._thread.is_alive()

    def wait(self, meanwhile: Callable[[], None]) -> T:
        """The operation's result; `meanwhile` is called repeatedly. Raises what it raised.

        If the wait is interrupted, so is the operation.
        """
        try:
            self._await_end(meanwhile)
        except BaseException:
            self.stop()
            self._thread.join(_END_S)
            raise
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise KeyboardInterrupt("the operation was interrupted")
        return self._result

    def join(self, within_s: float) -> None:
        """Wait for the end of the operation's thread, if it was started."""
        if self._thread.is_alive():
            self._thread.join(within_s)

    def end(self, meanwhile: Callable[[], None]) -> None:
        """Interrupt the operation and wait for its end, whatever comes of it."""
        self.stop()
        self._await_end(meanwhile)

    def stop(self) -> None:
        """Interrupt the operation as Ctrl-C does in the main thread: it cancels what it began.

        Only once: another interruption would end the cancellation itself.
        """
        if self._is_stopped:
            return
        self._is_stopped = True  # one that begins now ends at once
        if not self._ended.is_set():
            threads.interrupt(self._thread)

    def _await_end(self, meanwhile: Callable[[], None]) -> None:
        while not self.has_ended:
            self._ended.wait(_LOOK_S)
            meanwhile()
        meanwhile()

    def _run(self) -> None:
        try:
            self._result = None if self._is_stopped else self._operation()
        except BaseException as e:  # noqa: BLE001 - it is raised by the thread that waits
            self._error = e
        self._ended.set()


def side_by_side(operations: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """The results of short operations on several pods, by name, as they are done at once.

    Raises what one of them raised, when all have ended. If the wait is interrupted, so are the
    operations that run; the others are left out.
    """
    left, found = deque(operations), dict[str, T]()

    def work() -> bool:
        while left:
            try:
                name = left.popleft()
            except IndexError:  # another thread has taken it
                break
            found[name] = operations[name]()
        return True

    threads = min(len(operations), _AT_ONCE)
    if threads < 2:
        work()
    else:
        _all_of([Work(f"ask-{n}", work) for n in range(threads)])
    return {name: found[name] for name in operations}


def _all_of(works: Sequence[Work[bool]]) -> None:
    """Start them and wait for all; an interruption of the wait stops all."""
    try:
        for one in works:
            one.start()
        for one in works:
            one._await_end(_nothing)
    except BaseException:
        # first all, so that each of them ends soon
        for one in works:
            one.stop()
        end = time.monotonic() + _END_S
        for one in works:
            one.join(max(0.0, end - time.monotonic()))
        raise
    for one in works:
        one.wait(_nothing)


def _nothing() -> None:
    pass
