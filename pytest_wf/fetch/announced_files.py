"""A pod's listing of a run, checked before any file is requested.

A pod's names are not trusted: one that leads out of its directory, or that no directory can
contain, is refused, with the run and the name. `fetch.local_names` decides which of the others
this machine can store. `fetch.archive_reader` accepts or refuses the bytes that arrive,
by size and digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pytest_wf.errors import OperationFailed
from pytest_wf.evidence.fetch_record import LeftOut, shown
from pytest_wf.wire import operations
from pytest_wf.wire.safe_text import unquoted

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.=+-]*)*")
_NO_NAMES = frozenset({"", ".", ".."})
_MAX_WHY_CHARS = 300
#: The most runs that one request lists.
_LISTED_RUNS = 200


class PodFile(NamedTuple):
    """A file that the pod announced."""

    run_id: str
    path: str
    size: int
    #: The pod's modification time; only compared with an earlier one of the same pod.
    mtime_ns: int


class PodLink(NamedTuple):
    """A link in a run directory, with the path in that directory that it leads to."""

    path: str
    to: str


@dataclass(frozen=True)
class Announced:
    """The pod's listing of a run, with every name checked."""

    run_id: str
    files: tuple[PodFile, ...] = ()
    links: tuple[PodLink, ...] = ()
    #: Empty folders.
    folders: tuple[str, ...] = ()
    #: Files that the pod cannot send, with the reasons.
    odd: tuple[LeftOut, ...] = ()
    #: The number of bytes in holes of sparse files.
    holes: int = 0


class Agent(Protocol):
    """The part of `pods.rpc.client.AgentClient` that a listing needs."""

    def request(
        self, op: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 60
    ) -> dict[str, Any]:
        """Send a request and wait for the answer."""


def announced_runs(agent: Agent, run_ids: Sequence[str], pod_folder: str = "") -> list[Announced]:
    """The pod's present listing of each of `run_ids`.

    `pod_folder` is the folder of these runs below the outputs directory, ending with '/'.
    Raises OperationFailed('hostile-answer').
    """
    found: list[Announced] = []
    for start in range(0, len(run_ids), _LISTED_RUNS):
        wanted = {pod_folder + run_id: run_id for run_id in run_ids[start : start + _LISTED_RUNS]}
        answer = agent.request(operations.LISTING, {"run_ids": list(wanted)}, timeout_s=300)
        found += listed_runs(answer, wanted)
    return found


def listed_runs(answer: Mapping[str, Any], wanted: Mapping[str, str]) -> list[Announced]:
    """The listing of each of the `wanted` runs, ids by path on the pod, from the pod's answer.

    Raises OperationFailed('hostile-answer').
    """
    listed = answer.get("runs")
    if not isinstance(listed, dict):
        raise hostile("its listing is not a list of runs")
    strangers = set(listed) - set(wanted)
    if strangers:
        raise hostile(f"it lists {sorted(strangers)[0]!r}, which was not asked for")
    return [
        checked(run_id, listed[path]) if path in listed else _absent(run_id)
        for path, run_id in wanted.items()
    ]


def _absent(run_id: str) -> Announced:
    return Announced(run_id, odd=(LeftOut(".", 0, "the pod has no directory of this run"),))


def hostile(what: str) -> OperationFailed:
    """The error for an answer that no correct agent gives."""
    return OperationFailed(
        "hostile-answer",
        f"the pod's answer cannot be trusted: {what}.",
        "Nothing of it was put in place. Look at what writes to the outputs directory on the pod.",
    )


def checked(run_id: str, answer: object) -> Announced:
    """The pod's listing of one run.

    Raises OperationFailed('hostile-answer') naming the first invalid entry.
    """
    if not isinstance(answer, dict):
        raise hostile(f"the listing of run {run_id} is not an object")
    found = Announced(
        run_id,
        tuple(_file(run_id, entry) for entry in _list(run_id, answer, "files")),
        tuple(_link(run_id, entry) for entry in _list(run_id, answer, "links")),
        tuple(_path(run_id, entry) for entry in _list(run_id, answer, "folders")),
        tuple(_odd(run_id, entry) for entry in _list(run_id, answer, "odd")),
        _holes(run_id, answer),
    )
    paths = [*(f.path for f in found.files), *(p.path for p in found.links), *found.folders]
    _refuse_impossible(run_id, paths)
    return found


def _list(run_id: str, answer: Mapping[str, Any], key: str) -> list[Any]:
    value = answer.get(key, [])
    if not isinstance(value, list):
        raise hostile(f"the {key} of run {run_id} are not a list")
    return value


def _file(run_id: str, entry: object) -> PodFile:
    if not isinstance(entry, list) or len(entry) != 3:
        raise hostile(f"run {run_id} has an invalid entry of path, size and time: {entry!r:.300}")
    path, size, mtime = entry
    path = _path(run_id, path)
    if type(size) is not int or size < 0 or type(mtime) is not int:
        raise hostile(f"run {run_id}'s {path!r} has the size {size!r} and the time {mtime!r}")
    return PodFile(run_id, path, size, mtime)


def _link(run_id: str, entry: object) -> PodLink:
    if not isinstance(entry, list) or len(entry) != 2:
        raise hostile(f"run {run_id} has an invalid entry of link and target: {entry!r:.300}")
    path, to = entry
    return PodLink(_path(run_id, path), "." if to == "." else _path(run_id, to))


def _odd(run_id: str, entry: object) -> LeftOut:
    match entry:
        case [str(path), int(size), str(why)] if size >= 0:
            return LeftOut(_unquoted(run_id, path), size, shown(why[:_MAX_WHY_CHARS]))
    raise hostile(f"run {run_id} has an invalid entry of path, size and reason: {entry!r:.300}")


def _holes(run_id: str, answer: Mapping[str, Any]) -> int:
    holes = answer.get("holes", 0)
    if type(holes) is not int or holes < 0:
        raise hostile(f"run {run_id} has holes of {holes!r:.100} bytes")
    return holes


def _path(run_id: str, quoted: object) -> str:
    path = _unquoted(run_id, quoted)
    problem = _problem_of(path)
    if problem:
        raise hostile(f"run {run_id} has a file named {quoted!r:.1000}: {problem}")
    return path


def _unquoted(run_id: str, quoted: object) -> str:
    try:
        return unquoted(quoted) if isinstance(quoted, str) else ""
    except ValueError:
        raise hostile(f"run {run_id} has a file named {quoted!r:.1000}: not a name") from None


def _problem_of(path: str) -> str:
    if not path:
        return "no name"
    if _PLAIN.fullmatch(path):
        return ""  # the usual case, checked fast as there may be many
    if path[0] == "/":
        return "an absolute path"
    if "\0" in path:
        return "a NUL byte"
    if not _NO_NAMES.isdisjoint(path.split("/")):
        return "not a plain relative path"
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "not the name of any file"
    return ""


def _refuse_impossible(run_id: str, paths: Iterable[str]) -> None:
    """Refuse what no directory contains: a path twice, or a file with files in it."""
    seen: set[str] = set()
    folders: dict[str, str] = {}
    for path in paths:
        if path in seen:
            raise hostile(f"run {run_id} has {path!r} twice")
        seen.add(path)
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders[folder] = path
            folder = folder.rpartition("/")[0]
    for folder, path in folders.items():
        if folder in seen:
            raise hostile(f"run {run_id} has {folder!r} as a file and in {path!r}")
