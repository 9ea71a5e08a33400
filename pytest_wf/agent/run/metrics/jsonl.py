"""Reader of ``metrics.jsonl``: one JSON object a line, with its step under ``step``."""

import json
import os
import re
import stat
from typing import Any, Optional, Tuple

from pytest_wf.agent.run.metrics.numbers import number
from pytest_wf.agent.run.metrics.values import MetricValues, is_finite

#: The most that one update reads; the next update reads on.
PIECE_BYTES = 4 * 1024 * 1024

# a value as C, Python, JavaScript or a shell spell it, in the place of a JSON value
_BARE = re.compile(
    r"(?<=[:,\[\s])[-+]?(?:nan|inf|1\.#|none|null|undefined)[^\s,\]}]*(?=\s*[,\]}])",
    re.IGNORECASE,
)
_NO_VALUE = ("none", "null", "undefined")


class JsonLines:
    """Reads a growing ``metrics.jsonl``, each line once. A line that is no object is skipped."""

    def __init__(self, out_dir: str) -> None:
        self._path = os.path.join(out_dir, "metrics.jsonl")
        self._offset = 0
        self._torn = b""
        #: Device and inode of the file that `_offset` counts in.
        self._seen: Optional[Tuple[int, int]] = None
        self.values = MetricValues()

    def take_log(self, text: str) -> None:
        """Ignore the log."""

    def update(self) -> None:
        """Read what was appended since the last call, at most `PIECE_BYTES`."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return
            if found.st_size < self._offset or self._seen != (found.st_dev, found.st_ino):
                # the trainer has truncated it, or it is another file
                self._offset, self._torn = 0, b""
                self._seen = (found.st_dev, found.st_ino)
            piece = os.pread(fd, PIECE_BYTES, self._offset)
        except OSError:
            return
        finally:
            os.close(fd)
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
        self._take(self._torn)
        self._torn = b""

    def _take(self, line: bytes) -> None:
        report = _parsed(line)
        if isinstance(report, dict):
            step = report.pop("step", None)
            self.values.take(_as_step(step), report)


def _parsed(line: bytes) -> Any:
    """The JSON value in a line; None where it is none. NaN may be spelled in any way."""
    text = line.decode("utf-8", "replace").lstrip("\ufeff")
    try:
        # not the strict reader: a NaN is what a diverged run writes
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(_BARE.sub(_spelled, text))
    except (ValueError, RecursionError):
        return None


def _spelled(found: "re.Match[str]") -> str:
    if found.group().lower() in _NO_VALUE:
        return "null"
    value = number(found.group())
    return found.group() if value is None else json.dumps(value)


def _as_step(value: Any) -> Optional[int]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not is_finite(value):
        return None
    return int(value) if value == int(value) else None
