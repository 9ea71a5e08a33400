"""Wakes a waiting process when a child has ended or another process has news for it.

The signal is SIGCHLD for both, as it is safe to send to a process that does not wait for it. A
wake-up may be lost if the sender is another user, so every wait has a time limit.
"""

import os
import select
import signal
from typing import Any, Mapping

from pytest_wf.agent import process


class Wakeup:
    """Waits for SIGCHLD until it is closed; for the main thread only."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for fd in (self._read, self._write):
            os.set_blocking(fd, False)
        self._before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._fd_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def wait(self, timeout_s: float) -> None:
        """Wait until a SIGCHLD has arrived since the last call, or the time is up."""
        select.select([self._read], [], [], max(0.0, timeout_s))
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Restore the earlier handler of SIGCHLD."""
        signal.set_wakeup_fd(self._fd_before)
        signal.signal(signal.SIGCHLD, self._before)
        os.close(self._read)
        os.close(self._write)


def wake(known: Mapping[str, Any]) -> None:
    """Wake the process of that identity, if it lives and may be sent a signal."""
    if process.is_alive(known):
        try:
            os.kill(int(known["pid"]), signal.SIGCHLD)
        except OSError:
            pass
