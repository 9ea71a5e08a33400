"""Numbers of a run: from ``metrics.jsonl`` where the trainer writes it, else from its log."""

import json
import math
import os
import re
from typing import Any, Dict, Optional

#: The most that one look at a metrics file reads; the rest comes with the next look.
PIECE_BYTES = 4 * 1024 * 1024
#: Distinct names that are kept.
MAX_NAMES = 256
MAX_NAME_CHARS = 128
MAX_LINE_CHARS = 2000
#: How many numbers the live progress shows.
PROGRESS_NAMES = 8

#: Names under which a report may say how many steps there will be.
STEPS_NAMES = ("total_steps", "max_steps", "max_iters", "num_iterations")

_STEP = re.compile(r"\A\s*(?:step|iter|iteration)[\s:=]+(\d+)(?:/(\d+))?[\s:,]*", re.IGNORECASE)
_PAIR = re.compile(
    r"([A-Za-z_][A-Za-z0-9_]*(?: [A-Za-z_][A-Za-z0-9_]*){0,3})[ ]?[:= ][ ]?"
    r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))(?:ms|s|%|MB|GB)?(?=[,;\s]|\Z)",
    re.IGNORECASE,
)


class Numbers:
    """The last value of every number that a run reported, and the step that it is at."""

    def __init__(self) -> None:
        self.step: Optional[int] = None
        #: How many steps there will be, where the run says so.
        self.steps: Optional[int] = None
        self.last: Dict[str, float] = {}
        #: Numbers whose last report was not finite: 'nan', 'inf' or '-inf'. What was finite
        #: before is not how the run ended.
        self.odd: Dict[str, str] = {}
        #: Reports that were read.
        self.points = 0
        #: Values that were no finite numbers: a NaN loss is worth knowing of.
        self.dropped = 0
        self.dropped_names: Dict[str, int] = {}

    def take(self, step: Optional[int], values: Dict[str, Any]) -> None:
        """Note one report. What is no number is left out, what is not finite is counted."""
        self.points += 1
        if step is not None:
            self.step = step
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            is_known = name in self.last or name in self.odd
            if len(name) > MAX_NAME_CHARS or (not is_known and self._is_full()):
                continue
            if not _is_finite(value):
                self.dropped += 1
                self.dropped_names[name] = self.dropped_names.get(name, 0) + 1
                self.odd[name] = _odd(value)
                continue
            self.odd.pop(name, None)
            self.last[name] = value
            if name in STEPS_NAMES:
                self.steps = int(value)

    def summary(self) -> Dict[str, Any]:
        """Metrics as a summary carries them: last values, and the step as 'step'.

        A number that was last reported as NaN or infinite is the text of that.
        """
        found: Dict[str, Any] = dict(self.last)
        found.update(self.odd)
        if self.step is not None:
            found["step"] = self.step
        return found

    def progress(self) -> Optional[Dict[str, Any]]:
        """Step and a few numbers, losses first; None where nothing was reported yet."""
        if not self.points:
            return None
        names = sorted(self.last, key=lambda name: ("loss" not in name, name))
        found: Dict[str, Any] = {"step": self.step}
        found.update((name, self.last[name]) for name in names[:PROGRESS_NAMES])
        return found

    def _is_full(self) -> bool:
        return len(set(self.last) | set(self.odd)) >= MAX_NAMES


class MetricsFile:
    """Reads a growing ``metrics.jsonl``, each line once. A line that is no object is skipped."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._torn = b""
        self.numbers = Numbers()

    def update(self) -> None:
        """Read what has come since the last look, at most `PIECE_BYTES`."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return
        with os.fdopen(fd, "rb") as f:
            if os.fstat(fd).st_size < self._offset:
                # begun anew by the trainer
                self._offset, self._torn = 0, b""
            try:
                f.seek(self._offset)
                piece = f.read(PIECE_BYTES)
            except OSError:
                return
        self._offset += len(piece)
        *lines, self._torn = (self._torn + piece).split(b"\n")
        if len(self._torn) > PIECE_BYTES:
            self._torn = b""
        for line in lines:
            self._take(line)

    def finish(self) -> None:
        """Read all that is left, a last line without its newline included."""
        before = -1
        while before != self._offset:
            before = self._offset
            self.update()
        if self._torn:
            self._take(self._torn)
            self._torn = b""

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            # not the strict reader: a NaN is what a diverged run writes
            report = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            return
        if isinstance(report, dict):
            step = report.pop("step", None)
            self.numbers.take(_as_step(step), report)


class LogNumbers:
    """Finds numbers in log lines such as ``step 100: train loss 1.23, val loss 1.30``."""

    def __init__(self) -> None:
        self.numbers = Numbers()

    def take(self, line: str) -> None:
        """Look at one line, without its timestamp."""
        if len(line) > MAX_LINE_CHARS:
            return
        step = _STEP.match(line)
        if step is None or len(step.group(1)) > 18:
            return
        pairs = _PAIR.findall(line, step.end())
        if pairs:
            values = {"_".join(name.split()): float(number) for name, number in pairs}
            self.numbers.take(int(step.group(1)), values)
            if step.group(2) and len(step.group(2)) <= 18:
                self.numbers.steps = int(step.group(2))


def _as_step(value: Any) -> Optional[int]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        return None
    return int(value)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _odd(value: float) -> str:
    if value != value:
        return "nan"
    return "inf" if value > 0 else "-inf"
