"""Waits for changes to files in a folder, with inotify; without it, for a fixed time."""

import os
import select
import struct
import time
from typing import Collection

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_HEAD = struct.Struct("iIII")


class FolderWatch:
    """Notices changes to the files `names` in `folder` from its creation on; close it after use."""

    def __init__(self, folder: str, names: Collection[str]) -> None:
        self._names = {os.fsencode(name) for name in names}
        self._fd = _watched(folder)

    @property
    def is_watching(self) -> bool:
        """Whether a change ends a wait."""
        return self._fd >= 0

    def wait(self, timeout_s: float) -> None:
        """Wait until a file has changed since the last call, or the time is up."""
        end = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, end - time.monotonic())
            if not self.is_watching:
                time.sleep(left_s)
                return
            if not select.select([self._fd], [], [], left_s)[0] or self._has_changed():
                return

    def close(self) -> None:
        """Stop watching."""
        if self.is_watching:
            os.close(self._fd)
            self._fd = -1

    def _has_changed(self) -> bool:
        """Whether an event for one of the files has arrived."""
        raw, at, found = os.read(self._fd, 1 << 16), 0, False
        while at < len(raw):
            room = _HEAD.unpack_from(raw, at)[3]
            at += _HEAD.size
            found = found or raw[at : at + room].rstrip(b"\0") in self._names
            at += room
        return found


def _watched(folder: str) -> int:
    """Descriptor of an inotify watch on `folder`; -1 if that is not possible."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        fd: int = libc.inotify_init1(os.O_CLOEXEC)
        if fd < 0:
            return -1
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE
        if libc.inotify_add_watch(fd, os.fsencode(folder), mask) < 0:
            os.close(fd)
            return -1
    except (ImportError, OSError, AttributeError):
        return -1
    return fd
