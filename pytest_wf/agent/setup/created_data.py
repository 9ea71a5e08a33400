"""Files that a data contract creates: recorded for deletion if that is proved.

A contract lists beforehand which files it may create, and names each one in a file of ours just
before it creates it. A file is recorded if it was absent before the contract ran, was named by it,
and is a regular file afterwards. If the contract or the agent was killed, the next contract or
deletion records these files.
"""

import os
from typing import Any, Set

from pytest_wf.agent.control import control_files, created_paths
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.files import write_atomic, write_json

SCHEMA = 1
_MAX_NAMED_BYTES = 1 << 20


def begin(settings: Settings, creates: Any) -> str:
    """Note which of the files `creates` are absent, before a contract runs.

    Returns the path of the file in which the contract names what it creates, one path per line.
    """
    settle(settings)
    listed = creates if isinstance(creates, list) else []
    absent = [path for path in listed if isinstance(path, str) and _is_absent(path)]
    write_atomic(_named(settings), b"", 0o600)
    write_json(_open(settings), {"schema": SCHEMA, "absent": absent}, 0o600)
    return _named(settings)


def settle(settings: Settings) -> None:
    """Record the files that the last contract created, unless that was done. Raises Refusal."""
    noted = control_files.read(_open(settings), SCHEMA)
    if noted is None:
        return
    named = _lines(_named(settings))
    mounts = created_paths.mount_points()
    for path in noted.get("absent") or []:
        made = path in named and os.path.isfile(path) and not os.path.islink(path)
        if made and created_paths.is_deletable(path, mounts):
            created_paths.record(settings, path)
    os.unlink(_open(settings))


def _is_absent(path: str) -> bool:
    """Whether it is certain that nothing is at `path`."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        pass
    return False


def _lines(path: str) -> Set[str]:
    try:
        with open(path, "rb") as f:
            return set(os.fsdecode(f.read(_MAX_NAMED_BYTES)).split("\n"))
    except OSError:
        return set()


def _named(settings: Settings) -> str:
    return os.path.join(settings.control, "data-created")


def _open(settings: Settings) -> str:
    return os.path.join(settings.control, "data-created.json")
