"""What only somebody who watches wants to know of a run: its newest line, and how fast it goes."""

import re
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

#: The rate is that of the last so many seconds: evaluations and other users slow a run.
WINDOW_S = 60.0
LINE_CHARS = 200

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)")


class Pace:
    """Looks at a run now and then. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._looked = self._began
        self._seen: Deque[Tuple[float, int]] = deque()
        self._steps: Optional[int] = None
        self._line = ""

    def look(self, step: Optional[int], steps: Optional[int], tail: List[str]) -> bool:
        """Note where the run is, how many steps it has in all, and the end of its log; gives
        whether its newest line is another one than before."""
        now = self._looked = self._clock()
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
        """``{line, ran_s, steps, steps_per_s}`` as of the last look; the last two None where the
        run does not tell."""
        return {
            "line": self._line,
            "ran_s": round(self._looked - self._began, 1),
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
