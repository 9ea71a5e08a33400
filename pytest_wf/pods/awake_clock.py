"""A clock for waiting: seconds that this process was awake.

A process that was stopped (SIGSTOP, a debugger) has not waited for a pod meanwhile, and neither
has one whose machine slept. The monotonic clock of Linux stops while the machine sleeps,
but not while the process is stopped; so a thread counts short steps, and a step that took much
longer counts as a short one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pytest_wf import threads

_STEP_S = 0.5
#: A longer step counts as this long: a busy machine delays a thread, too.
_LONGEST_STEP_S = 2.0


class AwakeClock:
    """Gives seconds when called, as `time.monotonic` does. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._awake_s = 0.0
        self._last = clock()

    def __call__(self) -> float:
        """Seconds that this process was awake since an arbitrary moment."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._count, name="wf-awake", daemon=True)
            self._last = self._clock()
            threads.start(self._thread)
        return self.step()

    def step(self) -> float:
        """Count the time since the last step; the sum so far."""
        with self._lock:
            now = self._clock()
            self._awake_s += min(now - self._last, _LONGEST_STEP_S)
            self._last = now
            return self._awake_s

    def _count(self) -> None:
        while True:
            time.sleep(_STEP_S)
            self.step()


#: The clock of every wait for a pod.
awake_s = AwakeClock()
