"""What is remarkable about the results of an attempt: notes for its row."""

import os
from typing import List, Sequence

from pytest_wf.agent.run.child_process import RESERVE_FILES
from pytest_wf.agent.run.metrics.values import MetricValues
from pytest_wf.wire.rows import Note

_SHOWN = 8


def notes_on(metrics: MetricValues, folders: Sequence[str], has_ended_well: bool) -> List[Note]:
    """Numbers that are none, and results that are missing. `folders` are the trainer's."""
    notes = []
    odd = metrics.oddities()
    if odd:
        more = "; %d more" % (len(odd) - _SHOWN) if len(odd) > _SHOWN else ""
        notes.append(Note("nan", "; ".join(odd[:_SHOWN]) + more))
    wrote = metrics.points or any(_holds_something(path) for path in folders)
    if has_ended_well and not wrote:
        text = "it ended well, and left nothing in its out_dir and no metric that could be read"
        notes.append(Note("wrote-nothing", text))
    return notes


def without_inodes(folders: Sequence[str]) -> str:
    """That a disk of `folders` has room and takes no more files, in words; '' where none is so."""
    for folder in filter(os.path.isdir, folders):
        disk = os.statvfs(folder)
        # those that were kept back for the result may have been given back already
        if disk.f_files and disk.f_favail <= 2 * RESERVE_FILES and disk.f_bavail:
            free = disk.f_bavail * disk.f_frsize >> 20
            return "no inodes left on the disk of %s, which has %d MiB free" % (folder, free)
    return ""


def _holds_something(path: str) -> bool:
    """Whether something other than folders and empty files is there."""
    if not os.path.isdir(path):
        return _has_content(path)
    found = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    return any(_has_content(one) for one in found)


def _has_content(path: str) -> bool:
    try:
        return os.lstat(path).st_size > 0
    except OSError:
        return False
