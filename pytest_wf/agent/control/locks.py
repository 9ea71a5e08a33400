"""File locks on the pod."""

import contextlib
import errno
import fcntl
import os
from typing import Iterator, Optional

from pytest_wf.wire.messages import Refusal

#: Errors of a file system without locks.
_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP))


@contextlib.contextmanager
def locked(path: str) -> Iterator[int]:
    """Hold an exclusive flock on the file at `path`, created if missing; yields the descriptor.

    Python's descriptors are close-on-exec, so no child keeps the lock past its holder. Raises
    Refusal 'volume' if the file system has no locks.
    """
    fd = _opened(path)
    try:
        _flock(fd, fcntl.LOCK_EX, path)
        yield fd
    finally:
        os.close(fd)


def try_lock(path: str) -> Optional[int]:
    """A descriptor that holds the flock on `path`, or None if another process holds it."""
    fd = _opened(path)
    try:
        _flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, path)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_held(path: str) -> bool:
    """Whether a process holds the flock on the file at `path`."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        # shared, so that two checks at once do not take each other for the holder
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def why_none(folder: str) -> str:
    """Why files in a folder cannot be locked, '' if they can; tried on an unnamed file.

    '' also if that is not known, as on a file system without unnamed files.
    """
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError:
        return ""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        return os.strerror(e.errno) if e.errno in _NO_LOCKS else ""
    finally:
        os.close(fd)
    return ""


def _opened(path: str) -> int:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as e:
        # a reader can still lock it on a volume that has become read-only
        if e.errno != errno.EROFS or not os.path.exists(path):
            raise
        return os.open(path, os.O_RDONLY)


def _flock(fd: int, how: int, path: str) -> None:
    try:
        fcntl.flock(fd, how)
    except OSError as e:
        if e.errno not in _NO_LOCKS:
            raise
        raise Refusal(
            "volume",
            "the file system of %s on the pod has no file locks: %s" % (path, e.strerror),
            "Mount it with locks (NFS without `nolock`, Lustre with `flock`), or set "
            "OPS_REMOTE_OUTPUTS_DIR to another file system.",
            {"path": path},
        ) from None
