"""Flushes several files to disk in the time of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from pytest_wf.threads import ThreadPool

#: More threads than a disk serves at once gain nothing.
_AT_ONCE = 16


def flush_together(flushes: Iterable[Callable[[], None]]) -> None:
    """Call the functions, each of which flushes a file, in parallel.

    In sequence, each would wait for its own turn of the disk. Raises the first OSError
    once all have ended.
    """
    with ThreadPool(_AT_ONCE) as pool:
        done = [pool.submit(flush) for flush in flushes]
    for one in done:
        one.result()


def flush_file(path: str) -> None:
    """fsync the file at `path`; a missing file is detected when the flow's folder is closed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
