"""Names and sizes of files that a pod announces, checked before any file is requested.

A pod's names are not trusted: a name that leads out of its directory, that two file systems
would read differently, or that occurs twice is refused, with the run and the name. The bytes
that arrive are accepted or refused in `fetch.archive_reader`, by size and digest.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from pytest_wf.errors import OperationFailed
from pytest_wf.evidence.fetch_record import COMMIT_RECORD

_NO_NAMES = frozenset({"", ".", ".."})


class PodFile(NamedTuple):
    """A file that the pod announced."""

    run_id: str
    path: str
    size: int
    #: The pod's own stamp; only ever compared with an earlier one of the same pod.
    mtime_ns: int


def hostile(what: str) -> OperationFailed:
    """The error for an answer that no honest agent gives."""
    return OperationFailed(
        "hostile-answer",
        f"the pod's answer is not to be trusted: {what}.",
        "Nothing of it took a place here. Look at what writes to the outputs directory on the pod.",
    )


def checked_files(run_id: str, announced: object) -> list[PodFile]:
    """The files of one run as the pod announced them, every name checked.

    Raises OperationFailed('hostile-answer') naming the first bad entry.
    """
    if not isinstance(announced, list):
        raise hostile(f"the listing of run {run_id} is no list")
    files: list[PodFile] = []
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for entry in announced:
        file = _checked_entry(run_id, entry)
        # one tree on a file system that ignores case and normal form, too
        folded = _folded(file.path)
        if folded in seen:
            raise hostile(f"run {run_id} has {file.path!r} twice (as {seen[folded]!r})")
        seen[folded] = file.path
        folder = folded.rpartition("/")[0]
        while folder and folder not in folders:
            folders[folder] = file.path
            folder = folder.rpartition("/")[0]
        files.append(file)
    for folder, path in folders.items():
        if folder in seen:
            raise hostile(f"run {run_id} has {seen[folder]!r} as a file and in {path!r}")
    return files


def _checked_entry(run_id: str, entry: object) -> PodFile:
    if not isinstance(entry, list) or len(entry) != 3:
        raise hostile(f"run {run_id} has an entry that is no path, size and time: {entry!r:.300}")
    path, size, mtime = entry
    problem = _problem_of(path)
    if problem:
        raise hostile(f"run {run_id} has a file named {path!r}: {problem}")
    if type(size) is not int or size < 0 or type(mtime) is not int:
        raise hostile(f"run {run_id}'s {path!r} has the size {size!r} and the time {mtime!r}")
    return PodFile(run_id, path, size, mtime)


def _problem_of(path: object) -> str:
    if not isinstance(path, str) or not path:
        return "no name"
    if path[0] == "/" or path[1:2] == ":":
        return "an absolute path"
    if not path.isprintable():
        return "control characters"
    if "\\" in path:
        return "a backslash"
    parts = path.split("/")
    if not _NO_NAMES.isdisjoint(parts):
        return "not a plain relative path"
    if not path.isascii() and not unicodedata.is_normalized("NFC", path):
        return "not in Unicode's normal form C"
    if len(path.encode("utf-8")) > 1024 or (
        len(path) > 63 and max(len(p.encode("utf-8")) for p in parts) > 255
    ):
        return "too long"
    if len(parts) > 33:
        return "too deep"
    if _folded(parts[0]) == COMMIT_RECORD.casefold():
        return "the name is the fetch's own record's"
    return ""


def _folded(path: str) -> str:
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())
