"""The run directory's ``metrics.jsonl``: the numbers that were read, one report a line."""

import json
import os
import threading
from typing import Any, Dict, Optional, TextIO


class MetricsRecord:
    """Writes the reports of the source that counts, those of the attempt under way alone.

    Sources are known by their place in the order in which they count. When a source reports
    that counts before the one written so far, the file begins anew. Reports come from two
    threads: log lines from the pump's, all others from the runner's own.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._source: Optional[int] = None
        self._file: Optional[TextIO] = None
        self._lock = threading.Lock()
        #: Why the file could not be written, so that nothing more is; '' where it could.
        self.error = ""

    def clear(self) -> None:
        """Remove what an attempt before wrote."""
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError as e:
            self.error = str(e)

    def take(self, source: int, step: Optional[int], values: Dict[str, Any]) -> None:
        """Write one report, if `source` counts before all others that reported."""
        with self._lock:
            if self.error or (self._source is not None and source > self._source):
                return
            report = values if step is None else dict(values, step=step)
            try:
                if source != self._source:
                    self._begin(source)
                if self._file is not None:
                    # NaN and infinity as numbers: a curve shows where they began
                    self._file.write(json.dumps(report, sort_keys=True) + "\n")
            except OSError as e:
                self._fail(e)

    def flush(self) -> None:
        """Let others see what was taken."""
        with self._lock:
            try:
                if self._file is not None:
                    self._file.flush()
            except OSError as e:
                self._fail(e)

    def close(self) -> None:
        """Write what was taken, and nothing more."""
        with self._lock:
            try:
                if self._file is not None:
                    self._file.close()
            except OSError as e:
                self._fail(e)
            self._file = None

    def _begin(self, source: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        if self._file is None:
            fd = os.open(self._path, flags | os.O_EXCL, 0o644)
            self._file = os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace")
        else:
            self._file.seek(0)
            self._file.truncate()
        self._source = source

    def _fail(self, error: OSError) -> None:
        self.error = str(error)
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError:
            pass  # it is the same error, of what had been buffered
