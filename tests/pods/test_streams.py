"""Streams over raw ends of a process."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pytest_wf.pods import streams
from pytest_wf.pods.streams import PipedStream, Pipes


class _Full:
    """A process that never takes input, and is alive."""

    name = "receive"

    def accepts_input(self) -> bool:
        return True

    def exchange(self, data: Any, wait_s: float) -> tuple[int, bytes, bytes]:
        return 0, b"", b""


def test_a_write_that_nobody_takes_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALLED_S", 0.01)
    with pytest.raises(TimeoutError, match="receive took no input"):
        PipedStream(cast(Pipes, _Full())).write(b"x")
