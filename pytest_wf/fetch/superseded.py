"""Copies of fetched runs that later fetches replaced: who needs them, and their removal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pytest_wf.evidence.fetch_record import COMMIT_RECORD, SUPERSEDED, record_name
from pytest_wf.evidence.fetched_runs import is_same_record
from pytest_wf.evidence.folder import parsed, read_regular
from pytest_wf.fetch import local_runs
from pytest_wf.wire import ids

#: How the name begins of a copy that is being removed; no run is called so.
_DROPPED = ".dropped."


class Copy(NamedTuple):
    """An earlier copy of a run."""

    place: Path
    #: Files, and their bytes, that no copy has which stays.
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
        """Whether something is lost with it."""
        return bool(self.files or self.flows)

    def as_json(self) -> dict[str, Any]:
        """The copy, what is nowhere else of it, and who names it."""
        return {
            "copy": self.name,
            "files": self.files,
            "bytes": self.bytes,
            "flows": list(self.flows),
        }


def superseded(dest: Path, evidence: Path) -> list[Copy]:
    """The earlier copies below `dest`, where fetched runs are; flows' folders are in `evidence`."""
    found = []
    for place in _copies(dest):
        record = local_runs.record_of(place)
        try:
            raw = read_regular(place / COMMIT_RECORD)
        except OSError:
            continue
        if record is None or record.get("run_id") != place.name:
            continue  # no copy of ours
        kept = _contents(dest / place.name)
        gone = [f for f in record["files"] if (f["path"], f["sha256"]) not in kept]
        flows = tuple(_naming(evidence, place.name, raw))
        found.append(Copy(place, len(gone), sum(f["bytes"] for f in gone), flows))
    return found


def remove(copy: Copy) -> None:
    """Remove a copy, and what an earlier removal beside it left that was cut off."""
    folder, name = copy.place.parent, copy.place.name
    copy.place.rename(folder / f"{_DROPPED}{name}")
    for left in list(folder.iterdir()):
        if left.name.startswith(_DROPPED) and not left.is_symlink():
            shutil.rmtree(left)
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
    """Paths and digests of the present copy of a run, as far as its files are there."""
    record = local_runs.record_of(place)
    files = record["files"] if record is not None else []
    return {
        (f["path"], f["sha256"])
        for f in files
        if local_runs.is_same(place, f["path"], f["bytes"], f["sha256"])
    }


def _naming(evidence: Path, run_id: str, raw: bytes) -> Iterator[str]:
    """Ids of the flows that keep this very commit record of the run."""
    for folder in sorted(evidence.iterdir()) if evidence.is_dir() else ():
        try:
            known = parsed(read_regular(folder / record_name(run_id)))
        except OSError:
            continue
        if is_same_record(known, raw):
            yield folder.name
