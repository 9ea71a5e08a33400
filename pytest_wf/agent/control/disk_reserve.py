"""A little room kept back on the pod's disk, for its lease and its state.

Results are wanted most when their disk has filled up, and a pod that can write down neither
who holds it nor what becomes of it could not be fetched from. So a file of no content stands
beside them while there is room; it gives way to them when there is none.
"""

import errno
import os

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.files import sync_dir, write_atomic

#: A state file with its whole history and the copy of the one before it, twice over.
SIZE_BYTES = 256 * 1024
#: What a disk says that has no room, or takes nothing.
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))


def keep(settings: Settings) -> None:
    """Set the room aside, where it is not and the disk has as much."""
    path = _path(settings)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return  # it is there, or nothing can be
    try:
        os.posix_fallocate(fd, 0, SIZE_BYTES)
    except OSError:
        os.unlink(path)
    finally:
        os.close(fd)


def write(settings: Settings, path: str, content: bytes) -> None:
    """`write_atomic` for the pod's own records, if need be in the room that was kept back.

    Raises OSError, which names `path`, where even that is not enough.
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
    # some file systems have the room back only when the removal is on disk
    sync_dir(os.path.dirname(path))
    return True


def _path(settings: Settings) -> str:
    return os.path.join(settings.control, "reserve")
