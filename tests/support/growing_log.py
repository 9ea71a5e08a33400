"""A log that a trainer goes on writing while it is fetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.pods.rpc.client import AgentClient
from tests.support.waiting import until


@contextmanager
def growing(log: Path, client: AgentClient) -> Iterator[None]:
    """Meanwhile a thread writes lines to `log`, some after each listing that `client` gets.

    A thread alone might get no turn between a listing and the reading of the file.
    """
    over = threading.Event()
    request = client.request

    def write() -> None:
        with log.open("ab", buffering=0) as f:
            while not over.wait(0.0005):
                f.write(b"line\n")

    def requested(op: str, *words: Any, **more: Any) -> dict[str, Any]:
        answer = request(op, *words, **more)
        size = log.stat().st_size
        until(lambda: log.stat().st_size > size, "the log grows")
        return answer

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "request", requested)
            yield
    finally:
        over.set()
        writer.join()
