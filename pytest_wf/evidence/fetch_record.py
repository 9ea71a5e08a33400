"""The commit record of a fetched run: its files, and those left out with the reasons.

Also: the paths of copies that later fetches replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pytest_wf.wire.packs import WITHOUT_CONTENT

#: Written last into a fetched run directory; no file of the pod may have its name.
COMMIT_RECORD = "FETCHED.json"
#: Beside the fetched runs: the copies that later fetches replaced.
SUPERSEDED = ".superseded"
#: Why a checkpoint that was not requested was left out.
CHECKPOINT = "checkpoint"
#: The most files left out that a message names.
_MOST_SHOWN = 10
#: The most incomplete runs that a message names.
_MOST_RUNS = 20


class LeftOut(NamedTuple):
    """A part of a run on the pod that is not in the fetched run."""

    #: Path in the run directory; a folder's ends with '/'.
    path: str
    bytes: int
    #: `CHECKPOINT`, or why it could not be transferred.
    why: str

    @property
    def is_checkpoint(self) -> bool:
        """Whether it was left out by policy: the run is complete except for its checkpoints."""
        return self.why == CHECKPOINT

    @property
    def is_loss(self) -> bool:
        """Whether the run is incomplete without it: not a checkpoint, and not empty."""
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
    """One line that names the parts left out, with their bytes; of very many the first few.

    `count` and `size`, in bytes, are of all of them if `left_out` is only the beginning.
    """
    first = list(left_out)
    named = ", ".join(map(str, first[:_MOST_SHOWN]))
    count = len(first) if count is None else count
    if count <= _MOST_SHOWN:
        return named
    total = size_text(sum(one.bytes for one in first) if size is None else size)
    return f"{named} and {count - _MOST_SHOWN} more ({count} in all, {total})"


def incomplete_runs(facts: Mapping[str, Any]) -> list[str]:
    """A line for each incomplete run of a fetch, with what it lacks; of very many the first.

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
    """A path as text that can be printed and stored: other characters are escaped."""
    return path if path.isprintable() else ascii(path)[1:-1]


def record_name(run_id: str) -> str:
    """The name under which a flow keeps its copy of a fetched run's commit record."""
    return f"fetched.{run_id.replace('/', '+')}.json"


def superseded_path(place: Path, flow_id: str) -> Path:
    """The path of the copy of a run that `flow_id` fetched to `place`, once it was replaced.

    `flow_id` is that of the copy's commit record.
    """
    return place.parent / SUPERSEDED / flow_id / place.name


def holds_record(place: Path) -> bool:
    """Whether `place` is a folder, not a link to one, with a fetch's record, complete or
    damaged."""
    return not place.is_symlink() and os.path.lexists(place / COMMIT_RECORD)
