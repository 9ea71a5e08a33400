"""Which rows run again when a campaign is resumed, and how running ones are ended."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control import frozen_campaign, journal
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.run import mirror
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.run.run_dir import RowDir, Unreadable
from pytest_wf.wire.files import write_atomic
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row
from pytest_wf.wire.states import DRY_RUN, SUCCESS

#: What stopping may take on top of the grace that running attempts have.
STOP_S = 30.0
#: What an attempt may take on top of its time-out and grace: its start, what it leaves alive,
#: the wait before the next one.
ATTEMPT_S = 120


def is_open(campaign: Campaign, row: Row) -> bool:
    """Whether the row has not ended."""
    if row.adopted_from:
        return False
    try:
        return RowDir(campaign, row).summary() is None
    except Unreadable:
        return True


def longest_s(campaign: Campaign) -> Optional[int]:
    """How long the rows that have not ended can take at most, one after the other; None where
    nothing limits one of them: it has no time-out, or its files are mirrored when it has ended.
    """
    settings = campaign.settings
    total = 0
    for row in campaign.rows:
        if not is_open(campaign, row):
            continue
        here = RowDir(campaign, row)
        if not here.timeout_s or mirror.is_used(settings):
            return None
        grace_s = settings.int("RUN_KILL_GRACE_SECS")
        total += (1 + here.retries) * (here.timeout_s + grace_s + ATTEMPT_S)
    return total


def should_rerun(campaign: Campaign, row: Row) -> bool:
    """Prepare the row for a new supervisor; whether there is anything to run for it.

    The summary of a row that failed moves to its last attempt, which opens the row again.
    """
    here = RowDir(campaign, row)
    if row.adopted_from or not os.path.isdir(here.path):
        return not row.adopted_from
    try:
        summary = here.summary()
    except Unreadable:
        os.replace(here.summary_path, here.summary_path + ".unreadable")
        summary = None
    if summary is not None and summary.state in (SUCCESS, DRY_RUN):
        return False
    number = here.last
    if number == 0 or here.runner_lives(number):
        return True
    if summary is None and here.is_judged(number):
        return True
    result = _final_result(here, number)
    if result["state"] == SUCCESS:
        here.end(result)
        return False
    here.file_summary(result)
    return True


def _final_result(here: RowDir, number: int) -> Dict[str, Any]:
    """The result of an attempt whose runner is gone; what it left running is ended."""
    try:
        result = here.result(number)
    except Unreadable:
        result = None
    if result is not None:
        return result
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
    return here.record_dead_attempt(number, left)


class Snapshot(NamedTuple):
    """Who works on a campaign, read once."""

    campaign: Campaign
    #: Whether its supervisor is alive.
    is_supervised: bool
    #: Rows that have not ended.
    open_rows: List[Row]
    #: The attempts of open rows whose runner is alive.
    running: List[Tuple[RowDir, int]]

    @property
    def is_active(self) -> bool:
        """Whether its supervisor or a runner is alive."""
        return self.is_supervised or self.running != []


def snapshot(campaign: Campaign) -> Snapshot:
    """The campaign as it is now."""
    is_supervised = frozen_campaign.is_supervised(campaign)
    open_rows = [row for row in campaign.rows if is_open(campaign, row)]
    dirs = [RowDir(campaign, row) for row in open_rows]
    running = [(here, here.last) for here in dirs if here.runner_lives(here.last)]
    return Snapshot(campaign, is_supervised, open_rows, running)


def end_all(found: Snapshot) -> List[int]:
    """Request a stop, wait, then kill; the pids that could not be ended."""
    campaign, running = found.campaign, found.running
    write_atomic(campaign.stop_path, b"")
    for here, number in running:
        write_atomic(here.attempt(number, "stop"), b"")
    grace_s = campaign.settings.kill_grace_s
    supervisor = frozen_campaign.supervisor_of(campaign)

    def is_over() -> bool:
        if frozen_campaign.is_supervised(campaign):
            return False
        return not any(here.runner_lives(number) for here, number in running)

    journal.wait_until(is_over, grace_s + STOP_S, 0.05)
    leftovers: List[int] = []
    if not is_over():
        leftovers += process.kill_tree("", supervisor, 1.0)
    # the supervisor may have begun an attempt between our look and its own
    executor = executor_of(campaign.settings)
    for here, number in [*running, *snapshot(campaign).running]:
        leftovers += executor.cancel(here.cookie(number), here.handle(number), 1.0)
    for here, number in running:
        if is_open(campaign, here.row):
            # the supervisor is gone and will not judge it
            here.end(_final_result(here, number))
    return sorted(set(leftovers))
