"""Which rows run again when a campaign is resumed."""

import os
from typing import Any, Dict, Optional

from pytest_wf.agent.control import control_files, frozen_campaign
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import dead_attempt
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.run.run_dir import RowDir, Unreadable, read_result
from pytest_wf.agent.sweep.existing_runs import owner_of
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import MARKER, is_our_folder, mark
from pytest_wf.wire.rows import Row
from pytest_wf.wire.states import DRY_RUN, SUCCESS


def should_rerun(campaign: Campaign, row: Row, again: bool = False) -> bool:
    """Prepare the row for a new supervisor; whether there is anything to run for it.

    The summary of a row that failed moves to its last attempt, which opens the row again; with
    `again`, so does the summary of a row that ended well.
    """
    here = RowDir(campaign, row)
    if row.adopted_from or not os.path.isdir(here.path):
        return not row.adopted_from
    try:
        summary = here.summary()
    except Unreadable:
        control_files.set_aside(here.summary_path)
        summary = None
    if summary is not None and summary.state in (SUCCESS, DRY_RUN) and not again:
        return False
    number = here.last
    has_ended = bool(number) and os.path.exists(here.attempt(number, "result.json"))
    if not has_ended and (number == 0 or here.runner_lives(number)):
        return True  # a runner that has written its result only exits
    if summary is None and here.is_judged(number):
        return True
    result = final_result(here, number)
    if result["state"] == SUCCESS and not again:
        here.end(result)
        return False
    here.file_summary(result)
    return True


def with_damaged_marker(settings: Settings, run_id: str) -> Optional[RowDir]:
    """The run, if its record of who made it is damaged, and its other records name a campaign
    that is on this pod and has the row; else None."""
    path = settings.run_dir(run_id)
    if is_our_folder(path) or not os.path.lexists(os.path.join(path, MARKER)):
        return None
    return None if os.path.islink(path) else _run_of_its_campaign(settings, run_id)


def restore_marker(settings: Settings, run_id: str) -> None:
    """Rewrite the damaged record of who made a run: a start would be refused over it."""
    here = with_damaged_marker(settings, run_id)
    if here is not None:
        control_files.set_aside(os.path.join(here.path, MARKER))
        mark(here.path, here.made, here.campaign.project)


def _run_of_its_campaign(settings: Settings, run_id: str) -> Optional[RowDir]:
    try:
        campaign = frozen_campaign.find(settings, owner_of(settings.run_dir(run_id)))
        return RowDir(campaign, next(row for row in campaign.rows if row.run_id == run_id))
    except (Refusal, StopIteration):
        return None


def restore_summary(settings: Settings, run_id: str) -> None:
    """Rewrite the damaged summary of a run that ended well, from its last attempt's result.

    Otherwise a start would train it again.
    """
    path = settings.run_dir(run_id)
    try:
        read_result(os.path.join(path, "summary.json"))
        return
    except Unreadable:
        pass
    here = _run_of_its_campaign(settings, run_id)
    try:
        result = here.result(here.last) if here is not None and here.last else None
    except Unreadable:
        return
    if here is not None and result is not None and result.get("state") == SUCCESS:
        control_files.set_aside(here.summary_path)
        here.end(result)


def final_result(here: RowDir, number: int) -> Dict[str, Any]:
    """The result of an attempt whose runner is gone; the processes that it left are ended."""
    try:
        result = here.result(number)
    except Unreadable:
        result = None
    if result is not None:
        return result
    exited = dead_attempt.exit_of(here, number)
    grace_s = here.campaign.settings.kill_grace_s
    executor = executor_of(here.campaign.settings)
    left = executor.cancel(here.cookie(number), here.handle(number), grace_s)
    if left:
        raise Refusal(
            "launch",
            "processes %s of row %s could not be ended" % (left, here.row.run_id),
            "Restart the pod, then resume with `--wf-sweep=resume`.",
            {"leftovers": left},
        )
    return dead_attempt.record(here, number, exited, left)
