"""A flow outlives its reader: `| head`, a closed terminal, a full disk under the log file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


class SurvivingFile:
    """Writes to `file` as long as that takes it; from its first refusal on, to nowhere.

    What a phase does must not depend on whether its output is still read.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        #: Whether the reader has gone.
        self.is_lost = False

    def write(self, text: str) -> int:
        """As a text file's; never raises for a reader who has gone."""
        if not self.is_lost:
            try:
                self._file.write(text)
            except OSError:
                self._lose()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As a text file's."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As a text file's."""
        if not self.is_lost:
            try:
                self._file.flush()
            except OSError:
                self._lose()

    def close(self) -> None:
        """As a text file's."""
        self.flush()
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _lose(self) -> None:
        self.is_lost = True
        # what the buffer still holds must go somewhere, or the next flush raises again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)
        self._file.flush()
