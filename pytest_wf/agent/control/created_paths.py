"""The record of what this product created on the pod; only such paths are ever deleted."""

import os
from typing import List

from pytest_wf.agent.control import lease, locks
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.files import BadJson, read_json, write_json


def record(settings: Settings, path: str) -> None:
    """Remember that `path` is created here: call it before, and only where it does not exist."""
    with locks.locked(record_file(settings) + ".lock"):
        known = paths(settings)
        if path not in known:
            write_json(record_file(settings), {"schema": 1, "paths": [*known, path]}, 0o600)


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
        write_json(record_file(settings), {"schema": 1, "paths": left}, 0o600)


def paths(settings: Settings) -> List[str]:
    """All recorded paths, oldest first. Raises Refusal 'state-unreadable'."""
    where = record_file(settings)
    try:
        value = read_json(where)
    except FileNotFoundError:
        return []
    except (OSError, BadJson) as e:
        raise lease.unreadable(where, e) from None
    known = value.get("paths") if isinstance(value, dict) else None
    if not isinstance(known, list) or not all(isinstance(p, str) for p in known):
        raise lease.unreadable(where, ValueError("not a list of paths"))
    return list(known)


def record_file(settings: Settings) -> str:
    """Where the record stands."""
    return os.path.join(settings.control, "made.json")
