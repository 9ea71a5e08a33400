"""A trainer's folder on the pod's fast local disk, and which of its files are only there.

With RUN_OUT_MODE=local_sync a run's ``out/`` is a copy. If the last copy failed, or a file was
written after it, the local disk has files that the run directory lacks. A fetch names them, and the
pod is not deleted while they are not copied.
"""

import os
from typing import List

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results.listing import Announced, Contents, Odd, contents_of
from pytest_wf.wire import ids

#: How the reason begins for a file that could have been copied.
ONLY_LOCAL = "only on the pod's local disk"
#: Some file systems keep the time of a file only in seconds.
_TIME_NS = 10**9


def beside(local: str, what: str) -> str:
    """The path of a file about the directory `local`, as pytest-wf writes nothing into that."""
    root, name = os.path.split(local)
    return os.path.join(root, ".%s.%s" % (name, what))


def owner(local: str) -> str:
    """The campaign that a local directory belongs to; '' if nothing says so."""
    try:
        with open(beside(local, "campaign"), encoding="ascii") as f:
            found = f.read(200)
    except (OSError, UnicodeDecodeError):
        return ""
    return found if ids.is_id(found) else ""


def lacking(settings: Settings, run_path: str, durable: Contents) -> List[Odd]:
    """Files of a run's local directory that its run directory, which holds `durable`, lacks.

    `run_path` is relative to the outputs directory; the local disk has an archive of the same
    layout.
    """
    if settings["RUN_OUT_MODE"] != "local_sync":
        return []
    local = _place(settings["RUN_OUT_LOCAL_ROOT"], run_path)
    if os.path.isdir(local) and not os.path.islink(local):
        return _lacking_of_folder(local, durable)
    if not local or not os.path.lexists(local):
        return []
    info = os.lstat(local)
    name = os.path.basename(local)
    return _compared(os.path.dirname(local), [(name, info.st_size, info.st_mtime_ns)], durable)


def _place(root: str, run_path: str) -> str:
    """The local directory of a run; '' if there is none of ours.

    The local directory of an archived run moves later than its run directory: when the row runs
    again.
    """
    folder, _, run_id = run_path.rpartition("/")
    local, now = os.path.join(root, run_path), os.path.join(root, run_id)
    if not folder:
        return local if owner(local) else ""
    if not os.path.lexists(local) and owner(now) == os.path.basename(folder):
        return now
    return local


def _lacking_of_folder(local: str, durable: Contents) -> List[Odd]:
    found = contents_of(local)
    named = {path for path, _ in durable.links} | {path for path, _, _ in durable.odd}
    others = [(path, 0, "%s, %s" % (ONLY_LOCAL, local)) for path, _ in found.links]
    others = [("out/" + path.lstrip("/"), size, why) for path, size, why in others + found.odd]
    return _compared(local, found.files, durable) + [one for one in others if one[0] not in named]


def _compared(local: str, files: List[Announced], durable: Contents) -> List[Odd]:
    """The files in `local` of which the durable side has no copy in the same state."""
    known = {path: (size, mtime_ns) for path, size, mtime_ns in durable.files}
    named = {path for path, _, _ in durable.odd}
    lacking = []
    for name, size, mtime_ns in files:
        path = "out/" + name
        there = known.get(path, (-1, 0))
        if path in named or (there[0] == size and abs(there[1] - mtime_ns) < _TIME_NS):
            continue
        file = os.path.join(os.fsencode(local), name.encode("utf-8", "surrogateescape"))
        why = "%s, %s" % (ONLY_LOCAL, local)
        if not os.access(file, os.R_OK):
            why = "cannot be read: Permission denied"
        lacking.append((path, size, why))
    return lacking
