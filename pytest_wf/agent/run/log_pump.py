"""The log pump of one attempt: a pipe in, a timestamped and redacted log out.

It keeps reading whatever happens: a trainer whose pipe is full blocks. Its memory is bounded by the
piece that it reads, however long and frequent the lines are.
"""

import codecs
import os
import select
import threading
import time
from collections import deque
from typing import Callable, Deque, List, Optional

from pytest_wf.agent.run.failure_class import LINE_CHARS, TAIL_LINES
from pytest_wf.wire.redact import Redactor

PIECE_BYTES = 1 << 16
#: Lines that come faster than one in so many seconds are read together.
GATHER_S = 0.02
#: Bytes that any pipe can hold meanwhile.
_GATHERED_BYTES = 1 << 14
#: The longest line; of a line without an end, one character more is kept.
MAX_LINE_CHARS = 2000


class LogPump:
    """Copies what arrives on `pipe` to the log file `log`, in a thread of its own.

    It owns both descriptors, and closes them when the pipe has ended. Whole lines, redacted and
    without their times, go to `on_lines` too, several in one text.

    Every line begins with the UTC time at which it was read. A carriage return ends a line, as a
    progress bar has no other end; NUL and bytes that are not UTF-8 are escaped.
    """

    def __init__(
        self,
        pipe: int,
        log: int,
        redactor: Redactor,
        on_lines: Optional[Callable[[str], None]] = None,
    ) -> None:
        self._pipe = pipe
        self._log = log
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._redacted = redactor.stream()
        self._on_lines = on_lines
        self._return_held = False
        self._at_line_start = True
        self._line = ""
        self._tail: Deque[str] = deque(maxlen=TAIL_LINES)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="log-pump", daemon=True)
        #: Bytes that arrived, and bytes that the disk refused.
        self.received = 0
        self.lost = 0
        self.lost_why = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Whether the pipe ended, and all of it is in the log, within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def tail(self) -> List[str]:
        """The last lines, to explain an end."""
        with self._lock:
            return [*self._tail, self._line] if self._line else list(self._tail)

    def whole_lines(self) -> List[str]:
        """The last complete lines, for the live view."""
        with self._lock:
            return list(self._tail)

    def feed(self, piece: bytes, final: bool = False) -> None:
        """Take one piece of the pipe; `final` passes on what was kept."""
        self.received += len(piece)
        text = self._decoder.decode(piece, final)
        if self._return_held:
            text = "\r" + text
        self._return_held = text.endswith("\r") and not final
        if self._return_held:
            text = text[:-1]
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\\x00")
        text = self._redacted.feed(text)
        if final:
            text += self._redacted.close()
        if not text:
            return
        self._write(self._stamped(text))
        self._note(text)

    def _run(self) -> None:
        ended = select.poll()
        ended.register(self._pipe, 0)  # only to learn that it has no writer any more
        before = 0.0
        while True:
            try:
                piece = os.read(self._pipe, PIECE_BYTES)
            except OSError:
                piece = b""
            if not piece:
                break
            now = time.monotonic()
            self.feed(piece)
            if come_fast(len(piece), now - before):
                ended.poll(1000 * GATHER_S)
            before = now
        self.feed(b"", final=True)
        if not self._at_line_start:
            self._write("\n")
        os.close(self._pipe)
        try:
            os.fsync(self._log)  # before the result that refers to this log is written
        except OSError:
            pass  # a device or a pipe in its place
        os.close(self._log)

    def _stamped(self, text: str) -> str:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%03dZ " % (now % 1 * 1000)
        ends = text.endswith("\n")
        body = text[:-1] if ends else text
        head = stamp if self._at_line_start else ""
        self._at_line_start = ends
        return head + body.replace("\n", "\n" + stamp) + ("\n" if ends else "")

    def _write(self, text: str) -> None:
        rest = text.encode("utf-8", "backslashreplace")
        while rest:
            try:
                rest = rest[os.write(self._log, rest) :]
            except OSError as e:
                self.lost += len(rest)
                self.lost_why = e.strerror or str(e)
                return

    def _note(self, text: str) -> None:
        ended, newline, rest = (self._line + text).rpartition("\n")
        with self._lock:
            self._line = rest[: MAX_LINE_CHARS + 1]
            if newline:
                lines = ended.rsplit("\n", TAIL_LINES)[-TAIL_LINES:]
                self._tail.extend(line[:LINE_CHARS] for line in lines)
        if newline and self._on_lines is not None:
            self._on_lines(ended)


def come_fast(size: int, after_s: float) -> bool:
    """Whether lines come so fast that waiting for more pays, and the pipe has space for them.

    A full pipe would stop the trainer.
    """
    return after_s < 2 * GATHER_S and size * GATHER_S < _GATHERED_BYTES * after_s
