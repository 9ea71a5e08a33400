"""The empty directory that an auditor runs in. Those that a killed flow left are removed."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import tempfile

_PREFIX = "wf-auditor-"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class AuditorFolder:
    """A new empty directory, locked as long as the process that made it lives. Raises OSError."""

    def __init__(self) -> None:
        _remove_abandoned()
        self._fd: int | None = None
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        while not self._lock():  # another flow took it for abandoned
            self.path = tempfile.mkdtemp(prefix=_PREFIX)

    def remove(self) -> None:
        """Remove it with all that the auditor left there."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _lock(self) -> bool:
        """Lock it; whether it still exists then."""
        try:
            self._fd = os.open(self.path, _OPEN)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError:
            pass  # without locks, no other flow removes it either
        if os.path.isdir(self.path):
            return True
        self.remove()
        return False


@functools.cache
def _remove_abandoned() -> None:
    """Remove this user's directories whose processes have ended, once."""
    try:
        with os.scandir(tempfile.gettempdir()) as entries:
            paths = [entry.path for entry in entries if entry.name.startswith(_PREFIX)]
    except OSError:
        return
    for path in paths:
        _remove_if_abandoned(path)


def _remove_if_abandoned(path: str) -> None:
    try:
        fd = os.open(path, _OPEN)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_uid == os.geteuid():
            shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass  # its process lives, or that is not known
    finally:
        os.close(fd)
