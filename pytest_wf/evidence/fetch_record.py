"""The commit record of a fetched run: what is here of it, and what was left out and why.

Also: where a copy moves that a later fetch replaces.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pytest_wf.wire.packs import WITHOUT_CONTENT

#: Written last into a fetched run directory; a file of the pod may not have its name.
COMMIT_RECORD = "FETCHED.json"
#: Beside the fetched runs: the copies that later fetches replaced.
SUPERSEDED = ".superseded"
#: Why a checkpoint was left out that was not asked for.
CHECKPOINT = "checkpoint"
#: So many of the things that were left out are named where a person reads.
_MOST_SHOWN = 10
#: So many incomplete runs are named there.
_MOST_RUNS = 20


class LeftOut(NamedTuple):
    """Something of a run on the pod that is not in the fetched run."""

    #: Path in the run directory; a folder's ends in '/'.
    path: str
    bytes: int
    #: `CHECKPOINT`, or why it could not be carried.
    why: str

    @property
    def is_checkpoint(self) -> bool:
        """Whether it was left out by policy: the run is whole but for its checkpoints."""
        return self.why == CHECKPOINT

    @property
    def is_loss(self) -> bool:
        """Whether the run is not whole without it: no checkpoint, and it has content."""
        return not self.is_checkpoint and self.why not in WITHOUT_CONTENT

    @classmethod
    def from_json(cls, value: Any) -> LeftOut:
        """The record in a JSON object. Raises ValueError."""
        match value:
            case {"path": str(path), "bytes": int(size), "why": str(why)}:
                return cls(path, size, why)
        raise ValueError(f"not something that was left out: {value!r:.200}")

    def as_json(self) -> dict[str, Any]:
        """The record as `from_json` reads it."""
        return self._asdict()

    def __str__(self) -> str:
        size = f", {size_text(self.bytes)}" if self.bytes else ""
        return f"{shown(self.path)} ({self.why}{size})"


def left_out_text(
    left_out: Iterable[LeftOut], count: int | None = None, size: int | None = None
) -> str:
    """One line that names what was left out with its bytes; of a great many the first few.

    `count` and `size`, in bytes, are of all of it where `left_out` is only its beginning.
    """
    first = list(left_out)
    named = ", ".join(map(str, first[:_MOST_SHOWN]))
    count = len(first) if count is None else count
    if count <= _MOST_SHOWN:
        return named
    total = size_text(sum(one.bytes for one in first) if size is None else size)
    return f"{named} and {count - _MOST_SHOWN} more ({count} in all, {total})"


def incomplete_runs(facts: Mapping[str, Any]) -> list[str]:
    """A line for each run of a fetch that is not whole: what it lacks; of a great many the first.

    `facts` are those of a fetch.
    """
    said = []
    for run_id, run in (facts.get("runs") or {}).items():
        if run.get("verified") is not True:
            left_out = [LeftOut.from_json(one) for one in run.get("left_out") or ()]
            lacks = left_out_text(one for one in left_out if one.is_loss)
            problems = [*facts["problems"].get(run_id, ()), *filter(None, [lacks])]
            said.append(f"run {run_id} is incomplete: {', '.join(problems)}")
    return said[:_MOST_RUNS]


def size_text(size: int) -> str:
    """A number of bytes for people, such as '1.5 GB'."""
    value, units = float(size), iter(("kB", "MB", "GB", "TB"))
    unit = "B"
    while value >= 1000 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def shown(path: str) -> str:
    """A path as text that can be printed and stored: other characters as escapes."""
    return path if path.isprintable() else ascii(path)[1:-1]


def record_name(run_id: str) -> str:
    """The name under which a flow keeps its copy of a fetched run's commit record."""
    return f"fetched.{run_id.replace('/', '+')}.json"


def superseded_path(place: Path, flow_id: str) -> Path:
    """Where the copy of a run that `flow_id` fetched to `place` stands once it was replaced.

    `flow_id` is that of the copy's commit record.
    """
    return place.parent / SUPERSEDED / flow_id / place.name


def holds_record(place: Path) -> bool:
    """Whether `place` is a folder, not a link to one, in which a fetch left its record, whole or
    damaged."""
    return not place.is_symlink() and os.path.lexists(place / COMMIT_RECORD)
