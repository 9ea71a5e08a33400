"""Processes that are still at work when the command that started them has ended."""

import os
import time
from typing import Callable, Dict, Set, Tuple

from pytest_wf.wire.process import stat

#: Seconds after which a process that neither uses the CPU nor writes is not waited for.
IDLE_S = 5.0
LOOK_S = 0.1


def wait_for(find: Callable[[], Set[int]], limit_s: float, is_over: Callable[[], bool]) -> Set[int]:
    """Wait until `find` finds no process; those that are left when the wait ends.

    The wait ends after `limit_s`, when `is_over` says so, or when none of them has used the CPU or
    written anything for `IDLE_S`.
    """
    began = active = time.monotonic()
    before: Dict[int, Tuple[int, int]] = {}
    while True:
        left = find()
        signs = {pid: _sign(pid) for pid in left}
        now = time.monotonic()
        if signs != before:
            before, active = signs, now
        if not left or now - began >= limit_s or now - active >= IDLE_S or is_over():
            return left
        time.sleep(min(LOOK_S, limit_s))


def _sign(pid: int) -> Tuple[int, int]:
    """The CPU time that a process has used, and the bytes that it has written."""
    found = stat(pid)
    return (found.cpu_ticks if found else -1), _written(pid)


def _written(pid: int) -> int:
    try:
        with open(os.path.join("/proc", str(pid), "io"), "rb") as f:
            fields = dict(line.split(b": ", 1) for line in f)
        return int(fields[b"wchar"])
    except (OSError, KeyError, ValueError):
        return -1
