"""Threads that may be interrupted as Ctrl-C interrupts the main thread, and how they start others.

No thread is interrupted while another one is started: `PyThreadState_SetAsyncExc` of Python before
3.12 takes a thread that has not begun for the one that starts it. The interruption would end the
new thread, and the other one would wait for ever for it to begin.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_starting = threading.Lock()


def start(thread: threading.Thread) -> None:
    """Start a thread from one that may be interrupted."""
    with _starting:
        thread.start()


def interrupt(thread: threading.Thread) -> None:
    """Raise KeyboardInterrupt in a thread, as soon as it executes Python code."""
    with _starting:
        if thread.ident is not None and thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
            )


class ThreadPool(ThreadPoolExecutor):
    """A pool for threads that may be interrupted."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn(*args, **kwargs)` in one of the pool's threads."""
        with _starting:
            return super().submit(fn, *args, **kwargs)
