"""Space reserved on the pod's disk for its lease and its state.

Results are wanted most when the disk is full, and nothing can be fetched from a pod that cannot
write its lease and its state. So an empty placeholder file is kept beside them while there is
space, and removed when there is none.
"""

import errno
import os

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.files import sync_dir, write_atomic

#: Twice the size of a state file with its whole history and the copy of the one before it.
SIZE_BYTES = 256 * 1024
#: Errors of a disk that is full or read-only.
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))


def keep(settings: Settings) -> None:
    """Reserve the space, unless it is reserved or the disk does not have it."""
    path = _path(settings)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return  # it is reserved, or cannot be
    try:
        os.posix_fallocate(fd, 0, SIZE_BYTES)
    except OSError:
        os.unlink(path)
    finally:
        os.close(fd)


def write(settings: Settings, path: str, content: bytes) -> None:
    """`write_atomic` for the pod's own records, if need be in the reserved space.

    Raises OSError, which names `path`, if even that is not enough.
    """
    try:
        write_atomic(path, content, 0o600)
    except OSError as e:
        if e.errno not in FULL or not _give_up(settings):
            raise
        write_atomic(path, content, 0o600)


def _give_up(settings: Settings) -> bool:
    path = _path(settings)
    try:
        os.unlink(path)
    except OSError:
        return False
    # some file systems free the space only when the removal is on disk
    sync_dir(os.path.dirname(path))
    return True


def _path(settings: Settings) -> str:
    return os.path.join(settings.control, "reserve")
