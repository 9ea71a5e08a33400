"""Copies of fetched runs that later fetches replaced: which are needed, and their removal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pytest_wf.agent.control.removal import remove_tree
from pytest_wf.evidence.fetch_record import COMMIT_RECORD, SUPERSEDED, record_name
from pytest_wf.evidence.fetched_runs import is_same_record
from pytest_wf.evidence.folder import parsed, read_regular
from pytest_wf.fetch import local_runs
from pytest_wf.wire import ids

#: Prefix of a copy that is being removed; no run has such a name.
_DROPPED = ".dropped."


class Copy(NamedTuple):
    """An earlier copy of a run."""

    place: Path
    #: Files, and their bytes, that no remaining copy has.
    files: int
    bytes: int
    #: Flows whose evidence names this copy: without it, their verification says 'not here'.
    flows: tuple[str, ...]

    @property
    def name(self) -> str:
        """The flow that fetched it, and the run."""
        return f"{self.place.parent.name}/{self.place.name}"

    @property
    def is_needed(self) -> bool:
        """Whether its removal loses anything."""
        return bool(self.files or self.flows)

    def as_json(self) -> dict[str, Any]:
        """The copy, its files that exist nowhere else, and the flows that name it."""
        return {
            "copy": self.name,
            "files": self.files,
            "bytes": self.bytes,
            "flows": list(self.flows),
        }


def superseded(dest: Path, evidence: Path) -> list[Copy]:
    """The earlier copies below `dest`, the folder of fetched runs; flows are in `evidence`."""
    found = []
    for place in _copies(dest):
        record = local_runs.record_of(place)
        try:
            raw = read_regular(place / COMMIT_RECORD)
        except OSError:
            continue
        if record is None or record.get("run_id") != place.name:
            continue  # not a copy made by a fetch
        kept = _contents(dest / place.name)
        gone = [f for f in record["files"] if (f["path"], f["sha256"]) not in kept]
        flows = tuple(_naming(evidence, place.name, raw))
        found.append(Copy(place, len(gone), sum(f["bytes"] for f in gone), flows))
    return found


def remove(copy: Copy) -> None:
    """Remove a copy, and the rest of an earlier, interrupted removal beside it."""
    folder, name = copy.place.parent, copy.place.name
    copy.place.rename(folder / f"{_DROPPED}{name}")
    for left in list(folder.iterdir()):
        if left.name.startswith(_DROPPED) and not left.is_symlink():
            remove_tree(str(left))
    if not any(folder.iterdir()):
        folder.rmdir()


def _copies(dest: Path) -> Iterator[Path]:
    try:
        flows = sorted((dest / SUPERSEDED).iterdir())
    except OSError:
        return
    for flow in flows:
        if flow.is_dir() and not flow.is_symlink():
            yield from (one for one in sorted(flow.iterdir()) if ids.is_id(one.name))


def _contents(place: Path) -> set[tuple[str, str]]:
    """Paths and digests of the present copy of a run, for existing files."""
    record = local_runs.record_of(place)
    files = record["files"] if record is not None else []
    return {
        (f["path"], f["sha256"])
        for f in files
        if local_runs.is_same(place, f["path"], f["bytes"], f["sha256"])
    }


def _naming(evidence: Path, run_id: str, raw: bytes) -> Iterator[str]:
    """Ids of the flows that have this commit record of the run."""
    for folder in sorted(evidence.iterdir()) if evidence.is_dir() else ():
        try:
            known = parsed(read_regular(folder / record_name(run_id)))
        except OSError:
            continue
        if is_same_record(known, raw):
            yield folder.name
