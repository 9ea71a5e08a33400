"""Tests whether a file system can hold the lease, the state and the records, before it does."""

import contextlib
import fcntl
import os
import shutil
from typing import Iterator, List

from pytest_wf.agent.control import created_paths, disk_reserve
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.files import read_bytes, sync_dir
from pytest_wf.wire.messages import Refusal

#: File systems in front of an object store. They pass the test, but rename by a copy and a
#: deletion, append by sending the whole file again, and lock within one machine alone.
_OBJECT_STORES = frozenset(
    "fuse." + name
    for name in "s3fs goofys geesefs gcsfuse rclone blobfuse blobfuse2 mountpoint-s3".split()
)
#: The keys that say where control files are.
KEYS = ("OPS_REMOTE_OUTPUTS_DIR", "WF_STATE_FILE")
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND


def check(settings: Settings) -> None:
    """Raise Refusal 'volume' unless both places of control files can hold them.

    A full or read-only file system is not tested: its content can still be read and fetched.
    """
    _check(KEYS[0], settings.control)
    state_dir = os.path.dirname(settings.state_file)
    if state_dir != settings.control:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        _check(KEYS[1], state_dir)


def object_store(path: str) -> str:
    """The kind of file system that the existing `path` is on, if it is an object store; else ''."""
    kind = created_paths.file_system_of(path)
    return kind if kind in _OBJECT_STORES else ""


def _check(key: str, folder: str) -> None:
    store = object_store(folder)
    faults = ["%s is an object store" % store] if store else _faults(folder)
    if faults:
        raise Refusal(
            "volume",
            "the file system of %s on the pod cannot hold control files: %s"
            % (folder, "; ".join(faults)),
            "Set %s to a folder on a disk, or on a volume that behaves like one; DATA_DIR may be "
            "on an object store." % key,
            {"path": folder},
        )


def _faults(folder: str) -> List[str]:
    """The faults of the file system that prevent control files on it, in words."""
    place = os.path.join(folder, ".trial-" + os.urandom(6).hex())
    try:
        os.mkdir(place, 0o700)
        found = [tried(place) for tried in (_made_new, _renamed, _appended, _locked)]
        return [fault for fault in found if fault]
    except OSError as e:
        if e.errno in disk_reserve.FULL:
            return []
        if e.filename == place:
            raise  # missing write permission is not a fault of the file system
        return ["a trial in it ended with: %s" % e.strerror]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _made_new(place: str) -> str:
    path = os.path.join(place, "new")
    with _opened(path, os.O_EXCL):
        try:
            with _opened(path, os.O_EXCL):
                return "a file that must be new is made twice"
        except FileExistsError:
            return ""


def _renamed(place: str) -> str:
    # an open descriptor follows a file that is moved, but not one that is copied
    before, after = os.path.join(place, "before"), os.path.join(place, "after")
    with _opened(before) as new, _opened(after) as old:
        os.write(old, b"the older content")
        read_bytes(after)
        os.write(new, b"new")
        os.fsync(new)
        os.replace(before, after)
        sync_dir(place)
        os.write(new, b"er")
        seen = read_bytes(after)
        moved = os.stat(after).st_size == 5 and not os.path.lexists(before)
    return "" if seen == b"newer" and moved else "a rename is a copy, or is seen late"


def _appended(place: str) -> str:
    path = os.path.join(place, "log")
    with _opened(path) as one, _opened(path) as other:
        for fd, line in ((one, b"a"), (other, b"b"), (one, b"c")):
            os.write(fd, line)
        return "" if read_bytes(path) == b"abc" else "what two processes append is lost in part"


def _locked(place: str) -> str:
    path = os.path.join(place, "lock")
    with _opened(path) as one, _opened(path) as other:
        try:
            for fd in (one, other):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        except OSError as e:
            return "it has no file locks (%s)" % e.strerror
        return "two processes hold one lock"


@contextlib.contextmanager
def _opened(path: str, more: int = 0) -> Iterator[int]:
    fd = os.open(path, _FLAGS | more, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)
