"""Files of experiment trackers in fetched runs, and the commands that upload or open them.

Nothing is run or read: a tracker is recognised by its file names in the commit record of a
fetch. A new tracker is one line of `TRACKERS`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_wf.wire.metrics.sources import EVENT_FILES

_EVENTS = re.escape(EVENT_FILES)


@dataclass(frozen=True)
class TrackerFolder:
    """A folder of a fetched run with a tracker's files."""

    tracker: str
    run: Path
    path: Path

    @property
    def name(self) -> str:
        """Its path in the run's folder."""
        return self.path.relative_to(self.run).as_posix()


@dataclass(frozen=True)
class Tracker:
    """An experiment tracker that writes files."""

    name: str
    #: The effect of the command.
    verb: str
    #: The end of the name of one of its files. The part before it is the tracker's folder.
    ending: re.Pattern[str]
    #: The command for several of its folders; empty if there is none for all of them at once.
    command: Callable[[Sequence[TrackerFolder]], str]


def _wandb(folders: Sequence[TrackerFolder]) -> str:
    # the shell finds the runs, so the command contains no file name
    paths = [f"{shlex.quote(str(one.path))}/offline-run-*" for one in folders]
    return " ".join(["wandb sync", *paths])


def _mlflow(folders: Sequence[TrackerFolder]) -> str:
    if len(folders) != 1:
        return ""  # it opens only one store
    uri = shlex.quote(folders[0].path.as_uri())
    # MLflow 3 opens a store of files only if that is allowed
    return f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {uri}"


def _tensorboard(folders: Sequence[TrackerFolder]) -> str:
    runs = {one.run for one in folders}
    places = [one.path for one in folders] if len(runs) == 1 else [run.parent for run in runs]
    common = Path(os.path.commonpath(places))
    if len(runs) > 1 and common not in places:
        return ""  # it reads everything in a folder
    return f"tensorboard --logdir {shlex.quote(str(common))}"


TRACKERS = (
    Tracker("W&B", "Upload", re.compile(r"(?:\A|/)offline-run-[^/]+/run-[^/]+\.wandb\Z"), _wandb),
    Tracker("MLflow", "Open", re.compile(r"/[^/]+/[0-9a-f]{32}/meta\.yaml\Z"), _mlflow),
    Tracker("TensorBoard", "Open", re.compile(rf"(?:\A|/){_EVENTS}[^/]+\Z"), _tensorboard),
)


def folders_in(run: Path, names: Iterable[str]) -> tuple[TrackerFolder, ...]:
    """The folders of trackers in a fetched run with files of these `names`.

    Without folders that no longer exist, and those with a name that a terminal would
    not show unchanged.
    """
    found: dict[TrackerFolder, None] = {}
    for name in names:
        for tracker in TRACKERS:
            ending = tracker.ending.search(name)
            if ending is not None:
                path = run / name[: ending.start()]
                found[TrackerFolder(tracker.name, run, path)] = None
    return tuple(one for one in found if str(one.path).isprintable() and one.path.is_dir())
