"""The run directory's ``metrics.jsonl``: the numbers that were read, one report per line.

    {"attempt": 1, "source": "log", "step": 200, "at_s": 61.2, "loss": 3.41}

`at_s` is when a report was read, in seconds since the attempt began; one that was read after the
attempt's end has none.

The attempts of a run follow one another. All sources write to it; the reader decides which of them
counts for a metric (`wire.metrics.sources`).
"""

import json
import os
import re
import stat
import threading
import time
from typing import Any, BinaryIO, Dict, Optional, TextIO

#: Keys of a line that are not metrics.
KEYS = ("attempt", "source", "step", "at_s")

_LINE = re.compile(rb'\{"attempt": ([0-9]{1,9}), "source": "')
_MAX_LINE_BYTES = 1024 * 1024


class MetricsRecord:
    """Writes the reports of one attempt after those of earlier ones.

    Reports come from two threads: log lines from the pump's, all others from the runner's own.
    `began` is when the attempt began, by the monotonic clock; None if it has ended.
    """

    def __init__(self, path: str, attempt: int, began: Optional[float] = None) -> None:
        self._path = path
        self._attempt = attempt
        self._began = began
        self._file: Optional[TextIO] = None
        self._lock = threading.Lock()
        self._is_closed = False
        #: Why the file could not be written, so that writing stopped; '' if it could.
        self.error = ""

    def begin(self) -> None:
        """Keep what earlier attempts wrote, and remove everything else."""
        try:
            self._file = self._kept()
            if self._file is None:
                os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError as e:
            self._fail(e)

    def take(self, source: str, step: Optional[int], values: Dict[str, Any]) -> None:
        """Write one report."""
        head: Dict[str, Any] = {"attempt": self._attempt, "source": source}
        if step is not None:
            head["step"] = step
        if self._began is not None:
            head["at_s"] = round(time.monotonic() - self._began, 1)
        named = ((name, values[name]) for name in sorted(values) if name not in KEYS)
        # NaN and infinity as numbers: a curve shows where they began
        line = json.dumps({**head, **dict(named)}) + "\n"
        with self._lock:
            if self.error or self._is_closed:
                return
            try:
                if self._file is None:
                    self._file = self._created()
                self._file.write(line)
            except OSError as e:
                self._fail(e)

    def flush(self) -> None:
        """Make what was taken visible to other processes."""
        with self._lock:
            try:
                if self._file is not None:
                    self._file.flush()
            except OSError as e:
                self._fail(e)

    def close(self) -> None:
        """Write what was taken, and close the file."""
        with self._lock:
            self._is_closed = True
            try:
                if self._file is not None:
                    self._file.close()
            except OSError as e:
                self._fail(e)
            self._file = None

    def _created(self) -> TextIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self._path, flags, 0o644), "w", encoding="ascii")

    def _kept(self) -> Optional[TextIO]:
        """The file, positioned after the lines of earlier attempts; None if it is not a record."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError:
            return None
        found = os.fstat(fd)
        end = 0
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            with os.fdopen(os.dup(fd), "rb") as file:
                end = _end_of_earlier(file, self._attempt)
        if not end:
            os.close(fd)
            return None
        os.ftruncate(fd, end)
        os.lseek(fd, end, os.SEEK_SET)
        return os.fdopen(fd, "w", encoding="ascii")

    def _fail(self, error: OSError) -> None:
        self.error = str(error)
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError:
            pass  # the same error, for what had been buffered


def _end_of_earlier(file: BinaryIO, attempt: int) -> int:
    """Where the lines of earlier attempts end; 0 if there are none."""
    end = 0
    while True:
        line = file.readline(_MAX_LINE_BYTES)
        found = _LINE.match(line)
        if found is None or not line.endswith(b"\n") or int(found.group(1)) >= attempt:
            return end
        end += len(line)
