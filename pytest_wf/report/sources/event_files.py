"""TensorBoard's event files of fetched runs, read in a separate process.

Their values are drawn and shown, but not judged: they are not in the evidence.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

from pytest_wf.report.runs import FetchedRun, read_regular
from pytest_wf.report.sources import read_events
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.metrics.sources import EVENT_FILES
from pytest_wf.wire.safe_text import readable

#: Seconds for all runs of a page, and bytes of one file.
DEADLINE_S = 60.0
MAX_FILE_BYTES = 256 * 1024 * 1024
_MAX_FILES = 64
_MAX_LINE_BYTES = 512 * 1024 * 1024

_UNREAD = "Its TensorBoard event files were not read: their reader failed or took too long."
INSTALL = "`pip install 'pytest-wf[tensorboard]'`, then `wf report <flow_dir>`"


@dataclass(frozen=True)
class Scalars:
    """The contents of one run's event files."""

    #: By tag: steps and values.
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    #: Notes for the reader, one sentence each.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A run whose event files are read, from a time in seconds on."""

    run: FetchedRun
    since: float = 0.0
    #: Whether it has no metrics from another source.
    is_bare: bool = False


def event_files(run: FetchedRun) -> list[str]:
    """The names of a run's event files, by its commit record."""
    names = (name for name in run.digests if name.startswith(("out/", "trackers/")))
    return sorted(n for n in names if n.rpartition("/")[2].startswith(EVENT_FILES))[:_MAX_FILES]


def read_all(
    wanted: Sequence[Wanted], *, python: str | None = None, deadline_s: float = DEADLINE_S
) -> list[Scalars]:
    """The contents of each run's event files, in the order of `wanted`. Never raises for a file.

    Runs without other metrics are read first. `python` has TensorBoard; by default it is the
    current one, if the extra `tensorboard` is installed.
    """
    files, notes = {}, {}
    order = sorted(range(len(wanted)), key=lambda number: not wanted[number].is_bare)
    is_installed = python is not None or importlib.util.find_spec("tensorboard") is not None
    for number in order:
        names = event_files(wanted[number].run)
        if names and is_installed:
            files[number], notes[number] = _verified(wanted[number].run, names)
        elif names and wanted[number].is_bare:
            what = f"Its only numbers are in TensorBoard event files ({len(names)}): {INSTALL}."
            notes[number] = [what]
    asked = {n: {"files": f, "since": wanted[n].since} for n, f in files.items() if f}
    found = _read(asked, python or sys.executable, deadline_s) if asked else {}
    for number in asked.keys() - found.keys():
        notes[number].append(_UNREAD)
    return [Scalars(found.get(n, {}), tuple(notes.get(n, ()))) for n in range(len(wanted))]


def new_to(known: Collection[str], scalars: Scalars) -> Scalars:
    """The scalars, without those that are known by another name.

    Hugging Face's Trainer calls ``loss`` and ``eval_loss`` here ``train/loss`` and ``eval/loss``.
    """
    names = {name.casefold() for name in known}

    def is_known(tag: str) -> bool:
        tag = tag.casefold()
        others = (tag.replace("/", "_", 1), tag.removeprefix("train/"))
        return any(other != tag and other in names for other in others)

    new = {tag: points for tag, points in scalars.points.items() if not is_known(tag)}
    return replace(scalars, points=new)


def _verified(run: FetchedRun, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths of the files that are unchanged since the fetch, and problems of the others."""
    paths, wrong = [], []
    top = run.path.resolve()
    for name in names:
        path = run.path / name
        raw = read_regular(path, MAX_FILE_BYTES + 1) if path.resolve() == top / name else None
        if raw is None:
            continue
        if len(raw) > MAX_FILE_BYTES:
            wrong.append(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB, and not read.")
        elif sha256_bytes(raw) != run.digests[name]:
            wrong.append(f"{name} is not the file that was fetched: its digest differs.")
        else:
            paths.append(str(path))
    return paths, wrong


def _read(
    asked: Mapping[int, Any], python: str, deadline_s: float
) -> dict[int, dict[str, tuple[Sequence[float], Sequence[float]]]]:
    """The points by run, as far as they were read before the deadline."""
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile() as output:
        try:
            subprocess.run(
                [python, read_events.__file__],
                input=json.dumps(asked).encode(),
                stdout=output,
                stderr=subprocess.DEVNULL,
                cwd=empty,
                timeout=deadline_s,
            )
        except (subprocess.TimeoutExpired, OSError):
            pass  # the output until then counts
        output.seek(0)
        return dict(_runs(output))


def _runs(
    output: IO[bytes],
) -> Iterator[tuple[int, dict[str, tuple[Sequence[float], Sequence[float]]]]]:
    for line in iter(lambda: output.readline(_MAX_LINE_BYTES), b""):
        try:
            one = json.loads(line)
            found = {readable(tag): (s["steps"], s["values"]) for tag, s in one["scalars"].items()}
            yield int(one["run"]), found
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # an incomplete line
