"""The record of what this product created on the pod; only such paths are ever deleted."""

import os
import re
from typing import List, Set

from pytest_wf.agent.control import control_files, locks
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import user
from pytest_wf.wire.files import write_json

SCHEMA = 1
# mountinfo writes space, tab, newline and backslash so
_OCTAL = re.compile(r"\\([0-7]{3})")


def record(settings: Settings, path: str) -> None:
    """Remember that `path` is created here: call it before, and only where it does not exist."""
    with locks.locked(record_file(settings) + ".lock"):
        known = paths(settings)
        if path not in known:
            write_json(record_file(settings), {"schema": SCHEMA, "paths": [*known, path]}, 0o600)


def cover(settings: Settings, path: str) -> None:
    """Remember `path`, which is about to be made, unless it will go with what is recorded."""
    if not any(path.startswith(known.rstrip("/") + "/") for known in paths(settings)):
        record(settings, path)


def directory(settings: Settings, path: str) -> None:
    """Make the directory `path`, recording it where it was not there before."""
    if not os.path.isdir(path):
        record(settings, path)
        os.makedirs(path, mode=0o700, exist_ok=True)


def keep_only(settings: Settings, left: List[str]) -> None:
    """Forget all recorded paths but `left`."""
    with locks.locked(record_file(settings) + ".lock"):
        write_json(record_file(settings), {"schema": SCHEMA, "paths": left}, 0o600)


def paths(settings: Settings) -> List[str]:
    """All recorded paths, oldest first. Raises Refusal 'state-unreadable'."""
    where = record_file(settings)
    value = control_files.read(where, SCHEMA)
    if value is None:
        return []
    known = value.get("paths")
    if not isinstance(known, list) or not all(isinstance(p, str) for p in known):
        raise control_files.unreadable(where, "it is not a list of paths")
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
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        return {_OCTAL.sub(lambda m: chr(int(m.group(1), 8)), line.split(" ")[4]) for line in f}
