"""Streams of a connection that hold prepared bytes."""

from __future__ import annotations


class PreparedStream:
    """A stream that gives `data` in small pieces; what is written to it takes its place."""

    def __init__(self, data: bytes = b"", *, is_echo: bool = False) -> None:
        self._is_echo = is_echo
        self._put(data)
        self.closed = False

    def _put(self, data: bytes) -> None:
        self._data = data
        self._piece = max(7, len(data) // 50)

    def write(self, data: bytes) -> None:
        if self._is_echo:
            self._put(data)

    def close_stdin(self) -> None: ...

    def read(self, max_bytes: int, timeout_s: float | None = None) -> bytes:
        size = min(self._piece, max_bytes)
        piece, self._data = self._data[:size], self._data[size:]
        return piece

    def stderr_tail(self) -> str:
        return "it fell over"

    def wait(self, timeout_s: float) -> int | None:
        return None

    def close(self) -> None:
        self.closed = True
