"""What is remarkable about the results of an attempt: notes for its row."""

import os
from typing import List, Sequence

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
    if has_ended_well and not metrics.points and not any(_holds_files(path) for path in folders):
        text = "it ended well, and left no file in its out_dir and no metric that could be read"
        notes.append(Note("wrote-nothing", text))
    return notes


def _holds_files(folder: str) -> bool:
    return os.path.isfile(folder) or any(files for _, _, files in os.walk(folder))
