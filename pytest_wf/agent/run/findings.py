"""What is remarkable about the results of an attempt: notes for its row."""

import itertools
import os
from typing import Iterator, List, Sequence

from pytest_wf.agent.run.child_process import RESERVE_FILES
from pytest_wf.agent.run.metrics import sources
from pytest_wf.agent.run.metrics.values import MetricValues
from pytest_wf.wire.metrics.sources import EVENT_FILES, WITH_TENSORBOARD
from pytest_wf.wire.rows import Note

_SHOWN = 8
_MOST_FILES = 10_000
_WROTE_NOTHING = Note(
    "wrote-nothing",
    "it ended well, and left nothing in its out_dir and no metric that could be read",
)


def notes_on(metrics: MetricValues, folders: Sequence[str], has_ended_well: bool) -> List[Note]:
    """Metrics that are not finite, and results that are missing. `folders` are the trainer's."""
    notes = []
    odd = metrics.oddities()
    if odd:
        more = "; %d more" % (len(odd) - _SHOWN) if len(odd) > _SHOWN else ""
        notes.append(Note("nan", "; ".join(odd[:_SHOWN]) + more))
    if has_ended_well and not metrics.points:
        wrote = any(_holds_something(path) for path in folders)
        notes.append(Note("no-metrics", _no_metrics(folders)) if wrote else _WROTE_NOTHING)
    return notes


def without_inodes(folders: Sequence[str]) -> str:
    """A text if a disk of `folders` has space but no inodes; else ''."""
    for folder in filter(os.path.isdir, folders):
        disk = os.statvfs(folder)
        # the inodes reserved for the result may have been freed already
        if disk.f_files and disk.f_favail <= 2 * RESERVE_FILES and disk.f_bavail:
            free = disk.f_bavail * disk.f_frsize >> 20
            return "no inodes left on the disk of %s, which has %d MiB free" % (folder, free)
    return ""


def _no_metrics(folders: Sequence[str]) -> str:
    """What was searched for metrics, and how to provide some."""
    found = "no metric was found in its log and in the files that trainers write (%s)" % ", ".join(
        sources.NAMES
    )
    files = itertools.islice(itertools.chain(*map(_files, folders)), _MOST_FILES)
    if any(os.path.basename(path).startswith(EVENT_FILES) for path in files):
        return "%s; it left TensorBoard event files: %s" % (found, WITH_TENSORBOARD)
    return (
        "%s; write a JSON object a line with a step to metrics.jsonl in its out_dir, or describe "
        "the lines of its log by METRICS_LOG_PATTERN" % found
    )


def _holds_something(path: str) -> bool:
    """Whether something other than folders and empty files is there."""
    return any(map(_has_content, _files(path)))


def _files(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
    for folder, _, names in os.walk(path):
        yield from (os.path.join(folder, name) for name in names)


def _has_content(path: str) -> bool:
    try:
        return os.lstat(path).st_size > 0
    except OSError:
        return False
