"""Campaigns that a cluster's queue runs: submitted, judged by its answers, withdrawn.

No process supervises them. A job begins and retries the attempts of its row (`queued_job`). Rows
whose jobs ended without doing so are judged by the next request about the campaign.
"""

import os
import time
from typing import Any, Dict, List, Mapping, Optional, Set

from pytest_wf.agent.control import (
    clock,
    created_paths,
    frozen_campaign,
    launches,
    locks,
    shard,
)
from pytest_wf.agent.control.frozen_campaign import QUEUE, Campaign
from pytest_wf.agent.run import dead_attempt, exit_status
from pytest_wf.agent.run.executor import QueueExecutor, Word, executor_of
from pytest_wf.agent.run.run_dir import RowDir, Unreadable
from pytest_wf.wire.files import remove_file, write_atomic, write_json
from pytest_wf.wire.ownership import make_folder
from pytest_wf.wire.rows import SCHEMA
from pytest_wf.wire.states import PENDING, STOPPED, SUCCESS, UNKNOWN

#: A file in a campaign's folder: no further row begins, and why.
HALTED = "halted"
#: Seconds from the end of a job until it is judged: a shared disk shows its files late.
SETTLE_S = 5.0
#: Seconds that ending jobs may take beyond the grace of the trainers.
STOP_S = 30.0
_BY_USER = "stopped by the user"
#: Failures that may have a cause outside the job: the queue knows it.
_FROM_OUTSIDE = ("killed", "preempted", None)

# the rows that have ended or been judged since they were given to the queue, by campaign; their
# files are not read again
_judged: Dict[str, Set[str]] = {}


def queue_of(campaign: Campaign) -> Optional[QueueExecutor]:
    """The queue that runs the campaign; None if a supervisor does."""
    executor = executor_of(campaign.settings)
    return executor if isinstance(executor, QueueExecutor) else None


def words(campaign: Campaign) -> Mapping[str, Word]:
    """What the campaign's queue says of its rows; {} if a supervisor runs them."""
    queue = queue_of(campaign)
    return {} if queue is None or campaign.dry_run else queue.words(campaign)


def submit(campaign: Campaign, queue: QueueExecutor) -> None:
    """Give the open rows of all launches to the queue. Raises Refusal, OSError."""
    known = frozen_campaign.supervisor_of(campaign)
    number = launches.last_number(campaign)
    body = {
        "schema": SCHEMA,
        "campaign_id": campaign.campaign_id,
        QUEUE: campaign.settings["WF_ENGINE"],
        "started_at": clock.now(),
        "first_launch": known.get("first_launch", number) if _is_open(known) else number,
        "launch": number,
    }
    rows = launches.newest(campaign).rows(shard.rows(campaign))
    with locks.locked(_lock_path(campaign)):
        write_json(_record(campaign), body, 0o600)
        remove_file(os.path.join(campaign.folder, HALTED))
        _judged.pop(campaign.folder, None)
        queue.submit(campaign, [row for row in rows if _has_not_ended(RowDir(campaign, row))])


def complete(campaign: Campaign) -> None:
    """Give the queue what an interrupted start recorded and did not give to it.

    Raises Refusal 'remote-failed', OSError.
    """
    queue = queue_of(campaign)
    if queue is not None:
        with locks.locked(_lock_path(campaign)):
            queue.submit(campaign, [])


def reason(campaign: Campaign) -> str:
    """Why rows have not ended although the queue has none of them; '' without a queue."""
    if QUEUE not in frozen_campaign.supervisor_of(campaign):
        return ""
    try:
        with open(os.path.join(campaign.folder, HALTED), encoding="utf-8") as f:
            return f.read()
    except OSError:
        return "the queue has none of the rows that have not ended"


def reconcile(campaign: Campaign) -> None:
    """Judge the rows whose jobs have ended, and record when none is left in the queue.

    Nothing is done if a supervisor runs the campaign, or while rows are given to the queue or
    judged elsewhere.
    """
    body = frozen_campaign.supervisor_of(campaign)
    if not _is_open(body):
        return
    lock = locks.try_lock(_lock_path(campaign))
    if lock is None:
        return
    try:
        known = words(campaign)
        judged = _judged.setdefault(campaign.folder, set())
        is_any_open = False
        for row in launches.selected_rows(campaign):
            word = known.get(row.run_id)
            if word is None or row.run_id in judged:
                continue
            here = RowDir(campaign, row)
            # a waiting row has not ended: its files are not looked for
            if word.state in (PENDING, UNKNOWN) or (
                _has_not_ended(here) and (word.is_open or not _settle(here, word))
            ):
                is_any_open = True
            else:
                judged.add(row.run_id)
        if not is_any_open:
            write_json(_record(campaign), dict(body, ended_at=clock.now()), 0o600)
    finally:
        os.close(lock)


def stop(campaign: Campaign, queue: QueueExecutor) -> List[int]:
    """Withdraw waiting jobs, end running ones, and end their rows.

    Returns the places in the manifest of rows whose jobs could not be ended. Raises Refusal
    'launch'.
    """
    write_atomic(campaign.stop_path, b"")
    queue.withdraw(campaign, waiting_only=True)
    for row in launches.selected_rows(campaign):
        here = RowDir(campaign, row)
        if here.last and _has_not_ended(here):
            write_atomic(here.attempt(here.last, "stop"), b"")
    grace_s = campaign.settings.kill_grace_s
    if _jobs_after(campaign, grace_s + SETTLE_S):
        queue.withdraw(campaign, waiting_only=False)
    left = _jobs_after(campaign, grace_s + STOP_S)
    for row in launches.selected_rows(campaign):
        here = RowDir(campaign, row)
        if here.last and _has_not_ended(here) and row.index not in left:
            _end(here, {"state": STOPPED, "failure_class": "killed", "reason": _BY_USER})
    body = frozen_campaign.supervisor_of(campaign)
    if not left and _is_open(body):
        write_json(_record(campaign), dict(body, ended_at=clock.now()), 0o600)
    return left


def make_dir(here: RowDir) -> None:
    """Make the run directory of a row."""
    if not os.path.isdir(here.path):
        created_paths.cover(here.campaign.settings, here.path)
    make_folder(here.path, here.made, here.campaign.project)


def _jobs_after(campaign: Campaign, wait_s: float) -> List[int]:
    """The places of the rows whose jobs have not ended within `wait_s`."""
    deadline = time.monotonic() + wait_s
    while True:
        known = words(campaign)
        rows = [row for row in launches.selected_rows(campaign) if row.run_id in known]
        left = [row.index for row in rows if known[row.run_id].is_open]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def _settle(here: RowDir, word: Word) -> bool:
    """Judge a row whose job has ended; False while that is too early."""
    if word.ended_s is not None and word.ended_s < SETTLE_S:
        return False
    judged = word.judged
    if judged is not None and judged["failure_class"] == "killed" and not here.last:
        queue = queue_of(here.campaign)
        said = queue.said(here.campaign, here.row.run_id) if queue is not None else ""
        judged = dict(judged, reason=judged["reason"] + (": " + said if said else ""))
    if judged is not None or _has_result(here):
        _end(here, judged)
    return True  # a job that began nothing leaves its row open


def _end(here: RowDir, judged: Optional[Dict[str, Any]]) -> None:
    """End a row by its last attempt's result, and by `judged` if something else ended that."""
    number = here.last
    if number == 0:
        make_dir(here)
        number = 1
        os.makedirs(here.attempt(number))
    result = _result(here, number)
    if result is None:
        exited = exit_status.read(here.attempt(number))
        result = dead_attempt.record(here, number, exited, [])
    knows_better = result["state"] != SUCCESS and result.get("failure_class") in _FROM_OUTSIDE
    if judged is not None and knows_better:
        result = dict(result, **judged)
    here.end(result)


def _has_not_ended(here: RowDir) -> bool:
    if here.row.adopted_from:
        return False
    try:
        summary = here.summary()
    except Unreadable:
        return False
    return summary is None or not here.is_at_rest(summary)


def _has_result(here: RowDir) -> bool:
    return bool(here.last) and _result(here, here.last) is not None


def _result(here: RowDir, number: int) -> Optional[Dict[str, Any]]:
    try:
        return here.result(number)
    except Unreadable:
        return None


def _is_open(body: Mapping[str, Any]) -> bool:
    return QUEUE in body and not body.get("ended_at")


def _lock_path(campaign: Campaign) -> str:
    """Path of the lock that is held while rows are given to the queue or judged."""
    return os.path.join(campaign.folder, "queue.lock")


def _record(campaign: Campaign) -> str:
    return os.path.join(campaign.folder, "supervisor.json")
