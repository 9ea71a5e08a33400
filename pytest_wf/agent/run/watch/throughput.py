"""Live view of a run: its newest log line and its steps per second."""

import re
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

#: Seconds over which the rate is measured, as evaluations slow a run.
WINDOW_S = 60.0
LINE_CHARS = 200

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)")


class Throughput:
    """Measures a run by its step. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._updated = self._began
        self._seen: Deque[Tuple[float, int]] = deque()
        self._steps: Optional[int] = None
        self._line = ""

    def update(self, step: Optional[int], steps: Optional[int], tail: List[str]) -> bool:
        """Take the run's step, its number of steps, and the end of its log; whether its newest
        line has changed."""
        now = self._updated = self._clock()
        self._steps = steps
        if step is not None:
            if self._seen and step < self._seen[-1][1]:
                self._seen.clear()
            if not self._seen or step > self._seen[-1][1]:
                self._seen.append((now, step))
            while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW_S:
                self._seen.popleft()
        before, self._line = self._line, _last_line(tail)
        return self._line != before

    def live(self) -> Dict[str, Any]:
        """``{line, ran_s, steps, steps_per_s}`` as of the last update; the last two None if
        they are unknown."""
        return {
            "line": self._line,
            "ran_s": round(self._updated - self._began, 1),
            "steps": self._steps,
            "steps_per_s": self._rate(),
        }

    def _rate(self) -> Optional[float]:
        if len(self._seen) < 2:
            return None
        (then, first), (now, last) = self._seen[0], self._seen[-1]
        return float("%.4g" % ((last - first) / (now - then))) if now > then else None


def _last_line(tail: List[str]) -> str:
    for text in reversed(tail):
        line = " ".join(_ESCAPES.sub("", text).split())
        if line:
            return line[:LINE_CHARS]
    return ""
