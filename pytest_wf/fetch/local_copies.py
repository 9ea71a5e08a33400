"""Finds copies of a run's files on this machine, by the commit records of all fetches."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_wf.evidence.fetch_record import SUPERSEDED
from pytest_wf.fetch import local_runs
from pytest_wf.fetch.announced_files import PodFile
from pytest_wf.wire import ids

#: Suffix of the id of a run that the pod's archive has more than once.
_NUMBER = re.compile(r"\.[0-9]+$")


class LocalCopies:
    """The copies of runs in the folder of fetched runs, including replaced and archived ones.

    `dest` is ``LOCAL_ARTIFACTS_DIR``.
    """

    def __init__(self, dest: Path) -> None:
        self._places: dict[str, list[Path]] = defaultdict(list)
        for place in _places(dest):
            self._places[place.name].append(place)

    def lacking(self, run_path: str, files: Iterable[PodFile]) -> list[PodFile]:
        """The pod's `files` of which no copy of the run has identical bytes.

        Every file is read again and compared with the digest that it was fetched with.
        `run_path` is the run's path on the pod (`wire.ids.is_run_path`).
        """
        name = run_path.rpartition("/")[2]
        left = list(files)
        for place in (p for run_id in {name, _NUMBER.sub("", name)} for p in self._places[run_id]):
            record = local_runs.record_of(place)
            if left and record is not None and record.get("run_id") == place.name:
                here = local_runs.unchanged(place, record, left)
                left = [file for file in left if file.path not in here]
        return left


def _places(dest: Path) -> Iterator[Path]:
    parents = [dest]
    for folder in (SUPERSEDED, ids.ARCHIVE):
        parents += _folders(dest / folder)
    # an archived run that was fetched again has moved, too
    parents += [p for parent in _folders(dest / ids.ARCHIVE) for p in _folders(parent / SUPERSEDED)]
    for parent in parents:
        yield from _folders(parent)


def _folders(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return sorted(Path(e.path) for e in entries if e.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
