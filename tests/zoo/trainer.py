"""Odd trainers, and what each says of its own end.

A trainer is a file in `trainers/`: a program that is started as one row of a sweep. Its docstring
says what it does, and in lines of ``key: value`` how its row has to end:

state     the row's state
class     its failure class, where it fails
exit      its exit status, where it is not 0
notes     codes of the notes that its row has, separated by blanks
metrics   ``name=number`` that its row ends with
refused   paths in the run directory that cannot be carried and have to be named
empty     paths that have no content, which are named and cost the run nothing
timeout   the row's time-out, in seconds

A key with `` in local_sync`` behind it holds where the trainer writes to a local folder.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).with_name("trainers")
_LOCAL = " in local_sync"
_LINE = re.compile(rf"((?:state|class|exit|notes|metrics|refused|empty|timeout)(?:{_LOCAL})?):(.*)")


class Trainer(NamedTuple):
    """One trainer, and how its row has to end."""

    name: str
    state: str
    failure_class: str | None
    exit_code: int | None
    notes: set[str]
    metrics: dict[str, float]
    refused: set[str]
    empty: set[str]
    timeout_s: int | None

    @property
    def csv_line(self) -> str:
        """The trainer's row in a sweep's CSV."""
        return f"{self.name},trainers/{self.name}.py,1,,,{self.timeout_s or ''}"


def trainers(mode: str = "durable") -> list[Trainer]:
    """All trainers by name, with their ends under the RUN_OUT_MODE `mode`."""
    return [_read(path, mode) for path in sorted(FOLDER.glob("*.py"))]


def _read(path: Path, mode: str) -> Trainer:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    said: dict[str, Any] = {
        found[1]: found[2].strip()
        for line in docstring.splitlines()
        if (found := _LINE.fullmatch(line))
    }
    if mode == "local_sync":
        said.update({k.removesuffix(_LOCAL): v for k, v in said.items() if k.endswith(_LOCAL)})
    numbers = (pair.split("=") for pair in said.get("metrics", "").split())
    status = said.get("exit", "0" if said["state"] == "success" else None)
    return Trainer(
        name=path.stem,
        state=said["state"],
        failure_class=said.get("class"),
        exit_code=None if status is None else int(status),
        notes=set(said.get("notes", "").split()),
        metrics={name: float(number) for name, number in numbers},
        refused=set(said.get("refused", "").split()),
        empty=set(said.get("empty", "").split()),
        timeout_s=int(said["timeout"]) if "timeout" in said else None,
    )
