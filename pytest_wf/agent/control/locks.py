"""File locks on the pod."""

import contextlib
import fcntl
import os
from typing import Iterator, Optional


@contextlib.contextmanager
def locked(path: str) -> Iterator[int]:
    """Hold an exclusive flock on the file at `path`, made if absent; gives the descriptor.

    Python's descriptors are close-on-exec, so no child keeps the lock past its holder.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def try_lock(path: str) -> Optional[int]:
    """A descriptor that holds the flock on `path`, or None where another process holds it."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
