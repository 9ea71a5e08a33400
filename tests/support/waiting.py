"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], what: str = "", timeout_s: float = 60.0) -> Any:
    """Return the first true value of `condition()`.

    Fails the test with `what` when there is none within `timeout_s`. The deadline only ends a
    test that would never end; it is no statement about speed.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what or condition}"
        time.sleep(0.01)
    return found
