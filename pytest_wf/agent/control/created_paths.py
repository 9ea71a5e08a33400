"""The record of what this product created on the pod; only such paths are ever deleted."""

import os
import re
from typing import Any, Dict, List, Set

from pytest_wf.agent.control import control_files, locks
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import user
from pytest_wf.wire.files import COPY

SCHEMA = 1
_REMEDY = (
    "Nothing is deleted without it: move it away, and remove yourself what you no longer need."
)
# how mountinfo escapes space, tab, newline and backslash
_OCTAL = re.compile(r"\\([0-7]{3})")


def record(settings: Settings, path: str) -> None:
    """Record that `path` is created here; call it before, and only if `path` does not exist."""
    with locks.locked(record_file(settings) + ".lock"):
        known = _known(settings)
        if path not in known:
            _write(settings, [*known, path])


def cover(settings: Settings, path: str) -> None:
    """Record `path`, which is about to be created, unless it is in a recorded directory."""
    if not any(path.startswith(known.rstrip("/") + "/") for known in _known(settings)):
        record(settings, path)


def directory(settings: Settings, path: str) -> None:
    """Create the directory `path`, and record it if it is new."""
    if not os.path.isdir(path):
        record(settings, path)
        os.makedirs(path, mode=0o700, exist_ok=True)


def keep_only(settings: Settings, left: List[str]) -> None:
    """Forget all recorded paths but `left`."""
    with locks.locked(record_file(settings) + ".lock"):
        _write(settings, left)


def _write(settings: Settings, known: List[str]) -> None:
    control_files.write(record_file(settings), {"schema": SCHEMA, "paths": known})


def _known(settings: Settings) -> List[str]:
    """The recorded paths; none if the record cannot be read: what it names is never deleted."""
    try:
        return paths(settings)
    except control_files.Damaged:
        for path in (record_file(settings), record_file(settings) + COPY):
            control_files.set_aside(path)
        return []


def paths(settings: Settings) -> List[str]:
    """All recorded paths, oldest first. Raises Refusal 'state-unreadable'."""
    return control_files.parsed(record_file(settings), _paths_in, SCHEMA, remedy=_REMEDY) or []


def _paths_in(value: Dict[str, Any]) -> List[str]:
    known = value["paths"]
    if not isinstance(known, list) or not all(isinstance(p, str) for p in known):
        raise TypeError
    return list(known)


def record_file(settings: Settings) -> str:
    """Path of the record."""
    return os.path.join(settings.control, "made.json")


def is_deletable(path: str, mounts: Set[str]) -> bool:
    """Whether `path` is absolute and normalised, and neither root, a home nor one of `mounts`."""
    home = os.path.realpath(user.home())
    at = real(path)
    return (
        os.path.isabs(path)
        and os.path.normpath(path) == path
        and at not in ("/", home)
        and not home.startswith(at.rstrip("/") + "/")
        and at not in mounts
    )


def real(path: str) -> str:
    """`path` with its directory resolved; a link at its own end stays a link."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def mount_points() -> Set[str]:
    """All mount points that this process sees."""
    return set(_mounts())


def mount_of(path: str) -> str:
    """The mount point that the existing `path` is below."""
    return _above(os.path.realpath(path), _mounts())


def file_system_of(path: str) -> str:
    """The kind of file system that the existing `path` is on: ``ext4``, ``fuse.s3fs``."""
    mounts = _mounts()
    return mounts.get(_above(os.path.realpath(path), mounts), "")


def _above(path: str, mounts: Dict[str, str]) -> str:
    while path not in mounts and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _mounts() -> Dict[str, str]:
    """The kind of file system at each mount point; of several at one point the uppermost."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            mounted, _, file_system = line.partition(" - ")
            point = _OCTAL.sub(lambda m: chr(int(m.group(1), 8)), mounted.split(" ")[4])
            found[point] = file_system.split(" ")[0]
    return found
