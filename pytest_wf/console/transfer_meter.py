"""Progress meter for fetches: bytes, their rate, and the time that is left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from pytest_wf.console.progress import size, span

#: The rate is measured over this many seconds, as the speed of a link changes.
_WINDOW_S = 20.0


class Meter:
    """Counts bytes and reports them: those received, and those expected in total."""

    def __init__(self, on_bytes: Callable[[int, int], None] | None) -> None:
        self._on_bytes = on_bytes
        self.done = 0
        self.total = 0

    def expect(self, count: int) -> None:
        """From now on, expect `count` more bytes."""
        self.total = self.done + count

    def spare(self, count: int) -> None:
        """Expect `count` fewer bytes."""
        self.total -= count

    def add(self, count: int) -> None:
        """Count received bytes."""
        self.done += count
        if self._on_bytes is not None:
            self._on_bytes(self.done, max(self.done, self.total))


class Rate:
    """Turns a count of bytes into a line for people; `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])

    def line(self, done: int, total: int) -> str:
        """A line such as ``512.0 MB of 1.0 GB, 51%, 85.3 MB/s, about 6 s left``."""
        now = self._clock()
        if now - self._seen[-1][0] >= 0.5:
            self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW_S:
            self._seen.popleft()
        then, before = self._seen[0]
        text = f"{size(done)} of {size(total)}"
        if total:
            text += f", {100 * done // total}%"
        rate = (done - before) / (now - then) if now > then else 0.0
        if rate > 0:
            text += f", {size(int(rate))}/s"
            if total > done:
                text += f", about {span((total - done) / rate)} left"
        return text


def as_news(show: Callable[[str], None]) -> Callable[[int, int], None]:
    """A listener for a `Meter` that shows each report as a line."""
    rate = Rate()
    return lambda done, total: show(rate.line(done, total))
