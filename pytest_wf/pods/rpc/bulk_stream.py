"""A stream of bulk data whose silence counts as the pod's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pytest_wf.errors import LinkLost
from pytest_wf.pods.awake_clock import awake_s
from pytest_wf.pods.base import Connection, Stream
from pytest_wf.pods.patience import Patience
from pytest_wf.pods.rpc.channel import SLICE_S
from pytest_wf.pods.rpc.launch import Silent


class BulkStream:
    """A process on the pod, as `base.Stream` describes it, that sends data as long as it lives.

    A link that is silent for longer than `patience` allows is closed, as it may look alive.
    """

    def __init__(self, stream: Stream, connection: Connection, patience: Patience) -> None:
        self._stream = stream
        self._connection = connection
        self._patience = patience

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises LinkLost."""
        try:
            with self._asking():
                self._stream.write(data)
        except TimeoutError:
            raise self._silent() from None

    def close_stdin(self) -> None:
        """Tell the process that no more input comes."""
        self._stream.close_stdin()

    def read(self, max_bytes: int, timeout_s: float | None = None) -> bytes:
        """Up to `max_bytes`; b'' at the end.

        Raises LinkLost, also after a long silence, and TimeoutError if `timeout_s` is shorter than
        that.
        """
        silence_s = self._patience.silence_s
        limit_s = silence_s if timeout_s is None else min(timeout_s, silence_s)
        end = awake_s() + limit_s
        while (left_s := end - awake_s()) > 0:
            with suppress(TimeoutError), self._asking():
                return self._stream.read(max_bytes, min(left_s, SLICE_S))
        if limit_s < silence_s:
            raise TimeoutError
        raise self._silent()

    def stderr_tail(self) -> str:
        """The last of what the process wrote to stderr."""
        return self._stream.stderr_tail()

    def wait(self, timeout_s: float) -> int | None:
        """Exit status; None if it is unknown. Raises TimeoutError, LinkLost."""
        with self._asking():
            return self._stream.wait(timeout_s)

    def close(self) -> None:
        """Give up the process. Never raises, may be repeated."""
        self._stream.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._patience.asking():
            try:
                yield
            except LinkLost as e:
                self._patience.silent(e.message)
                raise

    def _silent(self) -> Silent:
        silence_s = self._patience.silence_s
        lost = Silent(f"the pod was silent for {silence_s:g} s")
        self._patience.silent(lost.message, silence_s)
        self._connection.close()
        return lost
