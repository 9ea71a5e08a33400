"""A bulk stream whose silence is the pod's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from pytest_wf.errors import LinkLost
from pytest_wf.pods.base import Connection, Stream
from pytest_wf.pods.patience import Patience
from pytest_wf.pods.rpc.bulk_stream import BulkStream
from pytest_wf.pods.rpc.launch import Silent


class _Ends:
    """A stream and its connection; what is read or written is what `act` gives or raises."""

    def __init__(self, act: Callable[[], bytes]) -> None:
        self._act = act
        self.is_closed = False

    def read(self, max_bytes: int, timeout_s: float | None = None) -> bytes:
        return self._act()

    def write(self, data: bytes) -> None:
        self._act()

    def close(self) -> None:
        self.is_closed = True


def stream(ends: _Ends, patience: Patience) -> BulkStream:
    return BulkStream(cast(Stream, ends), cast(Connection, ends), patience)


def nothing() -> bytes:
    raise TimeoutError


def broken() -> bytes:
    raise LinkLost("the link broke")


def interrupted() -> bytes:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "use", [lambda s: s.read(1), lambda s: s.write(b"x")], ids=["read", "write"]
)
def test_a_link_that_is_silent_for_too_long_is_closed(use: Callable[[Any], Any]) -> None:
    ends, patience = _Ends(nothing), Patience(60, silence_s=0.01)
    with pytest.raises(Silent):
        use(stream(ends, patience))
    assert ends.is_closed
    assert patience.silent_s > 0


def test_a_broken_link_begins_a_silence_and_a_byte_ends_it() -> None:
    patience = Patience(60)
    with pytest.raises(LinkLost):
        stream(_Ends(broken), patience).read(1)
    assert patience.silent_s > 0
    assert stream(_Ends(lambda: b"x"), patience).read(1) == b"x"
    assert patience.silent_s == 0


def test_an_interruption_of_a_bulk_stream_ends_patience() -> None:
    patience = Patience(60)
    with pytest.raises(KeyboardInterrupt):
        stream(_Ends(interrupted), patience).read(1)
    assert patience.is_over
