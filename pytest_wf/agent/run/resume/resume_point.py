"""What an attempt of a row resumes from: `RESUME_FROM`."""

import os

from pytest_wf.agent.results.checkpoints import Checkpoints
from pytest_wf.agent.run.resume.checkpoint import newest
from pytest_wf.agent.run.run_dir import RowDir, Unreadable
from pytest_wf.wire.states import SUCCESS


def of_attempt(here: RowDir, number: int) -> str:
    """The checkpoint that attempt `number` resumes from, relative to the trainer's folder, or ''.

    It is the newest whole one that an earlier attempt left. Attempts up to one that ended well do
    not count: after that one, the row is trained anew.
    """
    first = number
    while first > 1 and not _ended_well(here, first - 1):
        first -= 1
    if first == number:
        return ""
    settings = here.campaign.settings
    patterns = Checkpoints(settings.get("CHECKPOINT_PATTERNS", "").split())
    since_ns = _began_ns(here, first) if first > 1 else 0
    return newest(settings.out_dir(here.row.run_id), patterns, since_ns)


def _ended_well(here: RowDir, number: int) -> bool:
    try:
        result = here.result(number)
    except Unreadable:
        return False
    return result is not None and result.get("state") == SUCCESS


def _began_ns(here: RowDir, number: int) -> int:
    try:
        return os.lstat(here.attempt(number, "command.sh")).st_mtime_ns
    except OSError:
        return 0
