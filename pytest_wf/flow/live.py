"""What is seen while something runs: a line that rewrites itself, or plain lines now and then.

pytest captures file descriptor 1 meanwhile, so this writes to a copy of the real one. It is
called by the thread that runs the phase, and cleared before pytest writes again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable

from pytest_wf.core.readable import readable
from pytest_wf.flow.lasting import LastingFile

__all__ = ["LiveView"]

#: Off a terminal, news of the same kind is told no more often than this.
QUIET_S = 30.0


class LiveView:
    """Shows news of a running phase on the real stdout.

    On a terminal the newest news stand in one line that is overwritten; elsewhere (a pipe, a
    file, CI, TERM=dumb) a plain line is written at every change of `kind`, and else every
    30 s. `fd` is duplicated. `is_mid_line` tells whether pytest has begun a line there.
    """

    def __init__(
        self,
        fd: int = 1,
        *,
        rewrites: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        is_mid_line: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_mid_line = is_mid_line
        self._has_broken_line = False
        self._clock = clock
        self._out = LastingFile(
            os.fdopen(os.dup(fd), "w", buffering=1, encoding="utf-8", errors="replace")
        )
        if rewrites is None:
            plain = os.environ.get("CI") or os.environ.get("TERM", "dumb") == "dumb"
            rewrites = self._out.isatty() and not plain
        self._rewrites = rewrites
        self._is_shown = False
        self._last_kind: object = None
        self._told_at = clock()

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._is_shown:
            self._wipe()
        self._line(text)

    def lines(self, lines: list[str]) -> None:
        """Lines as they are, for where pytest's own terminal reporter is switched off."""
        self.clear()
        self._out.writelines(f"{line}\n" for line in lines)

    def show(self, text: str, kind: object = None) -> None:
        """News that the next news replace; a `kind` that is another one than before makes
        them worth a line of their own even where nothing can be rewritten."""
        if self._rewrites:
            self._break_line()
            width = shutil.get_terminal_size().columns - 1
            self._out.write(f"\r\x1b[2K{('wf: ' + _one_line(text))[:width]}")
            self._out.flush()
            self._is_shown = True
            return
        now = self._clock()
        is_new = kind is not None and kind != self._last_kind
        if is_new or now - self._told_at >= QUIET_S:
            self._last_kind, self._told_at = kind or self._last_kind, now
            self._line(text)

    def _line(self, text: str) -> None:
        self._break_line()
        self._out.write(f"wf: {_one_line(text)}\n")

    def _break_line(self) -> None:
        if not self._has_broken_line and self._is_mid_line():
            self._out.write("\n")
            self._has_broken_line = True

    def clear(self) -> bool:
        """Take the rewritten line away, before somebody else writes.

        Gives whether a line that pytest had begun was broken off.
        """
        broken, self._has_broken_line = self._has_broken_line, False
        if self._is_shown:
            self._wipe()
        return broken

    def _wipe(self) -> None:
        self._out.write("\r\x1b[2K")
        self._out.flush()
        self._is_shown = False

    def close(self) -> None:
        """Close the copy of stdout."""
        self.clear()
        self._out.close()


def _one_line(text: str) -> str:
    # much of it comes from the pod
    return " ".join(readable(text).split("\n"))
