"""A file that drops output once it fails: `| head`, a closed terminal, a full disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


class SurvivingFile:
    """Writes to `file` until it first fails; drops all later output.

    The result of a phase must not depend on whether its output is still read.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        #: Whether the reader is gone.
        self.is_lost = False

    def write(self, text: str) -> int:
        """Write as a text file does; never raises because the reader is gone."""
        if not self.is_lost:
            try:
                self._file.write(text)
            except OSError:
                self._lose()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines, as a text file does."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, as a text file does."""
        if not self.is_lost:
            try:
                self._file.flush()
            except OSError:
                self._lose()

    def close(self) -> None:
        """Close, as a text file does."""
        self.flush()
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _lose(self) -> None:
        self.is_lost = True
        # the rest of the buffer must go somewhere, or the next flush raises again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)
        self._file.flush()
