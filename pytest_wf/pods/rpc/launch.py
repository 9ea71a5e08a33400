"""The agent's programs, started through a login that may print, wait or end before them."""

from __future__ import annotations

import math
import sys
from contextlib import suppress

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.pods.awake_clock import awake_s
from pytest_wf.pods.base import Connection, Stream
from pytest_wf.wire.agent_starter import LAUNCHER, MARK
from pytest_wf.wire.safe_text import readable

#: How much a login may print before the launcher speaks.
_MAX_PRINTED_BYTES = 1 << 20
#: How long it may take in all, and how long without printing anything.
_START_TIMEOUT_S = 60.0
_SILENCE_S = 20.0
#: How much of what it printed a message quotes.
_QUOTED_CHARS = 500
_READ_BYTES = 1 << 18

_REMEDY = (
    "A pod needs Linux and python3 (3.8 or later) on the PATH of a login that runs commands "
    "without a terminal. Its shell's start-up files may print, but must not ask, start another "
    "program or exit. Try: ssh HOST python3 --version"
)


class Silent(LinkLost):
    """Nothing arrived for longer than a living pod is silent."""


class NotStarted(LinkLost):
    """The login ended before the agent's program started."""


class LaunchedStream:
    """A stream of one of the agent's programs, without what the login printed before it.

    Every method but `close` and `stderr_tail` first waits for the launcher, and raises as
    `begin` does.
    """

    def __init__(
        self, connection: Connection, path: str, agent: bytes, sha256: str, *words: str
    ) -> None:
        # PATH's python3 may be a script that looks for one
        python = sys.executable if connection.target.transport == "local" else ""
        argv = [python or "python3", "-I", "-S", "-c", LAUNCHER]
        argv += [path, sha256, str(len(agent)), *words]
        try:
            self._stream: Stream = connection.start(argv)
        except TimeoutError as e:
            raise Silent(str(e)) from None
        self._agent = agent
        self._has_begun = False
        self._silence_s = _SILENCE_S
        #: Data that arrived and was not returned yet.
        self._held = b""

    def begin(self, silence_s: float = math.inf) -> None:
        """Wait for the launcher, and send it the agent if the pod does not have it.

        A silence of `silence_s` ends the wait, as does the longest one that a login may keep.
        Raises OperationFailed ('not-a-pod', 'pod-disk'), NotStarted and Silent, all with the host's
        own output, and LinkLost.
        """
        if self._has_begun:
            return
        self._silence_s = min(_SILENCE_S, silence_s)
        if self._launcher_says() == "need":
            with suppress(LinkLost):  # it may say why it takes no more
                self._stream.write(self._agent)
            self._launcher_says()
        self._has_begun = True

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        self.begin()
        self._stream.write(data)

    def close_stdin(self) -> None:
        """See `Stream`."""
        self.begin()
        self._stream.close_stdin()

    def read(self, max_bytes: int, timeout_s: float | None = None) -> bytes:
        """See `Stream`."""
        self.begin()
        if not self._held:
            return self._stream.read(max_bytes, timeout_s)
        piece, self._held = self._held[:max_bytes], self._held[max_bytes:]
        return piece

    def stderr_tail(self) -> str:
        """See `Stream`."""
        return self._stream.stderr_tail()

    def wait(self, timeout_s: float) -> int | None:
        """See `Stream`."""
        self.begin()
        return self._stream.wait(timeout_s)

    def close(self) -> None:
        """See `Stream`."""
        self._stream.close()

    def _launcher_says(self) -> str:
        end = awake_s() + _START_TIMEOUT_S
        printed = bytearray(self._held)
        searched = 0
        while len(printed) < _MAX_PRINTED_BYTES:
            at = printed.find(b"\n", searched)
            if at < 0:
                printed += self._next(bytes(printed), end)
                continue
            answer = _answer(bytes(printed[searched:at]))
            searched = at + 1
            if answer:
                self._held = bytes(printed[searched:])
                return answer
        raise OperationFailed(
            "not-a-pod",
            "the pod's login prints without end before the agent starts"
            + self._quoted(bytes(printed)),
            _REMEDY,
        )

    def _next(self, printed: bytes, end: float) -> bytes:
        """What the login prints next."""
        wait_s = min(self._silence_s, max(0.0, end - awake_s()))
        try:
            piece = self._stream.read(_READ_BYTES, timeout_s=wait_s)
        except TimeoutError:
            raise Silent(
                f"the pod's login started no python3 within {wait_s:.3g} s{self._quoted(printed)}",
                _REMEDY,
            ) from None
        if piece:
            return piece
        status = None
        with suppress(TimeoutError):
            status = self._stream.wait(self._silence_s)
        raise NotStarted(
            f"the pod's login ended before the agent started ({_ending(status)})"
            + self._quoted(printed),
            _REMEDY,
        )

    def _quoted(self, printed: bytes) -> str:
        """What the host said, as the end of a message."""
        said = [printed.decode("utf-8", "replace"), self.stderr_tail()]
        tails = [" ".join(readable(text).split())[-_QUOTED_CHARS:] for text in said]
        words = " / ".join(filter(None, tails)).rstrip(".")
        return f": {words}" if words else ", and said nothing"


def _answer(line: bytes) -> str:
    """'have' or 'need' if the launcher says so, '' for a line of the login."""
    words = line.decode("utf-8", "replace").split(" ", 3)
    if words[0] != MARK or len(words) < 2:
        return ""
    if words[1] == "bad" and len(words) == 4:
        raise OperationFailed(readable(words[2]), readable(words[3]))
    return words[1] if words[1] in ("have", "need") else ""


def _ending(status: int | None) -> str:
    return "killed" if status is None else f"exit status {status}"
