"""Live view of a running operation: lines that rewrite themselves, or plain lines now and then.

pytest captures file descriptor 1 meanwhile, so the view writes to a copy of the real one. The
thread that runs the phase shows news, and clears them before pytest writes again. In between, a
thread of the view updates the clock; it writes to the same copy only.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

from pytest_wf import threads
from pytest_wf.console.columns import cut
from pytest_wf.console.surviving_file import SurvivingFile
from pytest_wf.wire.safe_text import readable

#: Off a terminal, news of the same kind are shown no more often than this.
QUIET_S = 30.0
#: How often the shown clock is updated.
_TICK_S = 1.0
#: Operations that run at the same time and are shown together.
_MAX_ROWS = 4


@dataclass(frozen=True)
class News:
    """The latest progress of a running operation."""

    #: The operation, such as ``P70 MONITOR``; its time is counted from its first news.
    what: str
    text: str = ""
    #: One line for each part that is running.
    rows: tuple[str, ...] = ()
    #: The newest line of its log.
    log: str = ""
    #: A different kind than before is worth a plain line at once.
    kind: object = None
    #: Monotonic time from which a clock behind `text` counts; None for no clock.
    since: float | None = None


class LiveView:
    """Shows news of a running operation on the real stdout.

    On a terminal, the newest news take a few lines that are overwritten. Elsewhere (a pipe,
    a file, CI, TERM=dumb) a plain line is written at every change of their `kind`, and otherwise
    every `quiet_s` seconds. `fd` is duplicated. `mid_line` returns the line that another writer
    has begun there: on a terminal it is restored when the news are cleared.
    """

    def __init__(
        self,
        fd: int = 1,
        *,
        rewrites: bool | None = None,
        colours: bool | None = None,
        quiet_s: float = QUIET_S,
        clock: Callable[[], float] = time.monotonic,
        mid_line: Callable[[], str] = str,
    ) -> None:
        self._mid_line = mid_line
        #: Makes a text safe to show: much of it comes from the pod.
        self.shown: Callable[[str], str] = readable
        self._clock = clock
        self._quiet_s = quiet_s
        self._out = SurvivingFile(
            os.fdopen(os.dup(fd), "w", buffering=1, encoding="utf-8", errors="replace")
        )
        self.is_terminal = is_for_people(self._out)
        self._rewrites = self.is_terminal if rewrites is None else rewrites
        # https://no-color.org: disables colours only, not cursor movement
        self._colours = not os.environ.get("NO_COLOR") if colours is None else colours
        self._news: News | None = None
        self._what = ""
        self._since = self._told_at = clock()
        self._last_kind: object = None
        #: Rows of the terminal that the news take now.
        self._height = 0
        #: An unfinished line of another writer, and whether it is directly above the news.
        self._broken = ""
        self._is_above = False
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._ticker: threading.Thread | None = None

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines of the terminal: from COLUMNS and LINES, or from the terminal itself.

        `shutil.get_terminal_size` asks the standard output, which pytest captures.
        """
        usual = shutil.get_terminal_size()
        try:
            own = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            return usual
        named = (os.environ.get("COLUMNS"), os.environ.get("LINES"))
        # a terminal without a size has 0 columns
        both = zip(own, usual, named, strict=True)
        return os.terminal_size(other if name or not mine else mine for mine, other, name in both)

    def say(self, text: str) -> None:
        """Write a line that stays."""
        with self._lock:
            self._wipe()
            self._line(f"wf: {text}")
            self._is_above = False

    def lines(self, lines: Sequence[str]) -> None:
        """Write lines unchanged, for when pytest's own terminal reporter is switched off."""
        self.clear()
        with self._lock:
            self._out.writelines(f"{line}\n" for line in lines)

    def show(self, news: News) -> None:
        """Show news, which replace the news before."""
        with self._lock:
            if news.what != self._what:
                self._what, self._since = news.what, self._clock()
            self._news = news
            self._refresh()
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, name="wf-clock", daemon=True)
            threads.start(self._ticker)

    def clear(self) -> bool:
        """Remove the news, before another writer writes.

        Returns whether a line that another writer had begun is still unfinished, and has to be
        begun again.
        """
        with self._lock:
            self._news = None
            self._wipe()
            broken, self._broken = self._broken, ""
            if not self._is_above:
                return bool(broken)
            up = (len(broken) - 1) // self.size.columns + 1
            self._out.write(f"\x1b[{up}A\r\x1b[J{broken}")
            self._out.flush()
            self._is_above = False
            return False

    def close(self) -> None:
        """Close the copy of stdout."""
        self._closed.set()
        # an interruption may have come while the thread was started
        if self._ticker is not None and self._ticker.is_alive():
            self._ticker.join(timeout=2 * _TICK_S)
        self.clear()
        with self._lock:
            self._out.close()

    def _tick(self) -> None:
        while not self._closed.wait(_TICK_S):
            with self._lock:
                if self._news is not None and not self._closed.is_set():
                    self._refresh()

    def _refresh(self) -> None:
        news = self._news
        assert news is not None
        if self._rewrites:
            self._draw(news)
            return
        now = self._clock()
        is_new = news.kind is not None and news.kind != self._last_kind
        if is_new or now - self._told_at >= self._quiet_s:
            self._last_kind, self._told_at = news.kind or self._last_kind, now
            self._line(f"wf: {self._head(news)}" + "".join(f"; {row}" for row in news.rows))

    def _head(self, news: News) -> str:
        spent = elapsed(self._clock() - self._since)
        counted = "" if news.since is None else elapsed(self._clock() - news.since)
        return " ".join(part for part in (news.what, spent, news.text, counted) if part)

    def _draw(self, news: News) -> None:
        self._break_line()
        columns, height = self.size
        lines = [f"wf: {self._head(news)}", *(f"    {row}" for row in news.rows[:_MAX_ROWS])]
        if len(news.rows) > _MAX_ROWS:
            lines.append(f"    and {len(news.rows) - _MAX_ROWS} more")
        if news.log:
            lines.append(f"    | {news.log}")
        # more rows than the terminal has could not be cleared again
        lines = [
            cut(self._one_line(line.rstrip()), columns - 1) for line in lines[: max(1, height - 2)]
        ]
        if self._colours and news.log and len(lines) > 1:
            lines[-1] = f"\x1b[2m{lines[-1]}\x1b[22m"
        up = f"\x1b[{self._height - 1}A" if self._height > 1 else ""
        self._out.write(f"\r{up}\x1b[J" + "\r\n".join(lines))
        self._out.flush()
        self._height = len(lines)

    def _wipe(self) -> None:
        if self._height:
            up = f"\x1b[{self._height - 1}A" if self._height > 1 else ""
            self._out.write(f"\r{up}\x1b[J")
            self._out.flush()
            self._height = 0

    def _line(self, text: str) -> None:
        _flush_stdout()
        self._break_line()
        self._out.write(f"{self._one_line(text)}\n")

    def _one_line(self, text: str) -> str:
        return " ".join(self.shown(text).split("\n"))

    def _break_line(self) -> None:
        if not self._broken:
            self._broken = self._mid_line()
            if self._broken:
                self._out.write("\n")
                self._is_above = self._rewrites


def is_for_people(file: TextIO | SurvivingFile | None) -> bool:
    """Whether people read the output: not a pipe, a file or a log of a CI service.

    `file` is None if Python was started with it closed.
    """
    plain = os.environ.get("CI") or os.environ.get("TERM", "dumb") == "dumb"
    return file is not None and file.isatty() and not plain


def elapsed(seconds: float) -> str:
    """A running time, such as ``0:07``, ``12:30`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _flush_stdout() -> None:
    """Flush whole lines, so that earlier output comes first."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        pass  # its reader is gone
