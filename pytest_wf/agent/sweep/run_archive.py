"""The archive on the pod: runs that later campaigns replaced, each in its own campaign's folder."""

import os
import time
from typing import Dict, Iterable, List

from pytest_wf.agent.control import created_paths, removal
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import ids
from pytest_wf.wire.files import move_into
from pytest_wf.wire.ownership import is_our_folder

#: Prefix of the name of a run that is being removed; no run has such a name.
_DROPPED = ".dropped."
#: Seconds for measuring the archive; what was not reached by then is not counted.
_MEASURE_S = 10.0


def take(settings: Settings, run_id: str, owner: str) -> Dict[str, str]:
    """Move the run directory `run_id` of campaign `owner` to the archive; what went where."""
    created_paths.directory(settings, settings.archive)
    folder = os.path.join(settings.archive, owner)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    to = move_into(folder, settings.run_dir(run_id))
    return {"run_id": run_id, "campaign_id": owner, "to": to}


def drop(settings: Settings, paths: Iterable[str]) -> List[str]:
    """Remove these runs of the archive, `ids.is_run_path` each; those that are gone now.

    Remains of an interrupted removal are removed too. What this product did not make stays.
    """
    for path in paths:
        place = os.path.join(settings.outputs, path)
        if path.startswith(ids.ARCHIVE + "/") and ids.is_run_path(path) and is_our_folder(place):
            folder, name = os.path.split(place)
            os.rename(place, os.path.join(folder, _DROPPED + name))
    for folder in _folders(settings.archive):
        for left in _folders(folder):
            if os.path.basename(left).startswith(_DROPPED):
                removal.remove_tree(left)
        if not os.listdir(folder):
            os.rmdir(folder)
    return [path for path in paths if not os.path.lexists(os.path.join(settings.outputs, path))]


def measured(settings: Settings) -> Dict[str, int]:
    """How many runs the archive holds, and their bytes."""
    runs = [path for owner in _folders(settings.archive) for path in _folders(owner)]
    until = time.monotonic() + _MEASURE_S
    return {"runs": len(runs), "bytes": sum(_bytes(run, until) for run in runs)}


def _bytes(folder: str, until: float) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        if time.monotonic() > until:
            break
        for name in names:
            try:
                size += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return size


def _folders(parent: str) -> List[str]:
    try:
        with os.scandir(parent) as entries:
            return sorted(e.path for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return []
