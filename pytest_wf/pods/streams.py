"""Communication with a running process, whatever carries its bytes.

An adapter supplies `Pipes`, the raw ends of one process. `PipedStream` and `run_to_end` are
written once on top of them, so that every connection drains, caps and times out alike.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from pytest_wf.errors import LinkLost
from pytest_wf.pods.awake_clock import awake_s
from pytest_wf.pods.base import Completed

#: The most bytes that one exchange takes from either output.
CHUNK_BYTES = 256 * 1024

#: How much of stderr a stream remembers.
STDERR_TAIL_BYTES = 64 * 1024

#: How much stdout is held for a later `read` while the stream writes or waits.
MAX_HELD_BYTES = 64 * 1024 * 1024

#: Seconds without taking input after which a process is given up.
STALLED_S = 20.0

#: The longest single wait; a process that ends without closing its outputs gives no event.
_SLICE_S = 0.05

#: The longest single wait for output; an interruption of a thread is noticed between two.
_WAIT_S = 5.0

_NOTHING = memoryview(b"")


class Pipes(Protocol):
    """The raw ends of one process. No method waits longer than the given time."""

    #: The name of the process and its pod in messages.
    name: str

    def exchange(self, data: memoryview, wait_s: float) -> tuple[int, bytes, bytes]:
        """Send what fits of `data`; return what arrived on stdout and stderr.

        Waits at most `wait_s` seconds for the first of either to be possible; returns at once if
        the outputs have ended and there is nothing to send.
        """

    def accepts_input(self) -> bool:
        """Whether the process may still read what is sent."""

    def close_input(self) -> None:
        """End the process's stdin. May be repeated."""

    def ended(self) -> bool:
        """Whether both outputs were read to their end. Raises LinkLost."""

    def exited(self, wait_s: float) -> bool:
        """Whether the process is over, after waiting for that at most `wait_s` seconds."""

    def status(self) -> int | None:
        """Exit status of a process that is over; None if unknown. Raises LinkLost."""

    def close(self) -> None:
        """Give up the process. Never raises, may be repeated."""


class PipedStream:
    """A running process as `base.Stream` describes it, over any `Pipes`."""

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes
        self._held = bytearray()
        self._stderr = bytearray()

    def write(self, data: bytes) -> None:
        """Send all of `data`; the output that arrives meanwhile is kept for `read`.

        Raises LinkLost if the link broke or the process no longer takes input, TimeoutError if it
        took none of it for `STALLED_S` seconds.
        """
        rest = memoryview(data)
        stalled_at = awake_s() + STALLED_S
        while rest:
            if not self._pipes.accepts_input():
                raise LinkLost(
                    f"{self._pipes.name} no longer takes input.",
                    "It has ended or closed its stdin; its stderr may say why.",
                )
            if len(self._held) > MAX_HELD_BYTES:
                raise LinkLost(
                    f"{self._pipes.name} floods its output while it is being written to.",
                    "Read from the stream, or send less at once.",
                )
            sent = self._exchange(rest, _SLICE_S)
            rest = rest[sent:]
            if sent:
                stalled_at = awake_s() + STALLED_S
            elif awake_s() > stalled_at:
                raise TimeoutError(f"{self._pipes.name} took no input for {STALLED_S:g} s.")

    def close_stdin(self) -> None:
        """Tell the process that no more input comes."""
        self._pipes.close_input()

    def read(self, max_bytes: int, timeout_s: float | None = None) -> bytes:
        """Up to `max_bytes` of stdout; b'' at its end. Raises TimeoutError, LinkLost."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._held:
            if self._pipes.ended():
                return b""
            left = 60.0 if end is None else end - time.monotonic()
            _, out, err = self._pipes.exchange(_NOTHING, max(0.0, left))
            self._remember(err)
            if 0 < len(out) <= max_bytes and not self._held:
                return out  # as it arrived: copies would take most of the time of bulk transfers
            self._held += out
            if left <= 0 and not self._held and not self._pipes.ended():
                raise TimeoutError(f"{self._pipes.name} said nothing for {timeout_s:g} s.")
        piece = bytes(self._held[:max_bytes])
        del self._held[:max_bytes]
        return piece

    def stderr_tail(self) -> str:
        """The last of what the process wrote to stderr."""
        return self._stderr.decode("utf-8", "replace")

    def wait(self, timeout_s: float) -> int | None:
        """Exit status; None if it is unknown. Raises TimeoutError, LinkLost.

        Output that comes meanwhile is kept for `read`, up to `MAX_HELD_BYTES`; a process that
        writes more than that is not drained further.
        """
        end = time.monotonic() + timeout_s
        while not self._pipes.exited(0.0):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self._pipes.name} did not end within {timeout_s:g} s.")
            if len(self._held) > MAX_HELD_BYTES or self._pipes.ended():
                self._pipes.exited(left)
            else:
                self._exchange(_NOTHING, min(left, _SLICE_S))
        return self._pipes.status()

    def close(self) -> None:
        """Give up the process. Never raises, may be repeated."""
        self._pipes.close()

    def _exchange(self, data: memoryview, wait_s: float) -> int:
        sent, out, err = self._pipes.exchange(data, wait_s)
        self._held += out
        self._remember(err)
        return sent

    def _remember(self, err: bytes) -> None:
        if err:
            self._stderr += err
            del self._stderr[:-STDERR_TAIL_BYTES]


def run_to_end(
    pipes: Pipes, argv: Sequence[str], *, stdin: bytes, end: float, max_bytes: int
) -> Completed:
    """Feed `stdin`, drain both outputs together and return how the process ended.

    `end` is by the monotonic clock. Each output is kept up to `max_bytes`; the rest is read
    and dropped. Raises TimeoutError, LinkLost. The caller closes `pipes`.
    """
    late = TimeoutError(f"{pipes.name} did not end in time.")
    rest = memoryview(stdin)
    kept = (bytearray(), bytearray())
    while not pipes.ended():
        if not rest or not pipes.accepts_input():
            rest = _NOTHING
            pipes.close_input()
        left = end - time.monotonic()
        if left <= 0:
            raise late
        sent, *pieces = pipes.exchange(rest, min(left, _WAIT_S))
        rest = rest[sent:]
        for buffer, piece in zip(kept, pieces, strict=True):
            buffer += piece[: max(0, max_bytes - len(buffer))]
    if not pipes.exited(max(0.0, end - time.monotonic())):
        raise late
    out, err = (bytes(buffer).decode("utf-8", "replace") for buffer in kept)
    return Completed(tuple(argv), pipes.status(), out, err)


def check_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """`argv` as a tuple. Raises ValueError for what no command line can carry."""
    if isinstance(argv, (str, bytes)) or not argv or not argv[0]:
        raise ValueError(f"argv is a list that begins with a program, not {argv!r}.")
    for argument in argv:
        if "\0" in argument:
            raise ValueError(f"argument {argument!r} holds a NUL byte.")
    return tuple(argv)
