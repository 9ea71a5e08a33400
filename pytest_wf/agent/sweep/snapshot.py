"""Which processes work on a campaign and which of its rows have not ended, read once."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

from pytest_wf.agent.control import frozen_campaign, launches
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.run import mirror
from pytest_wf.agent.run.run_dir import RowDir, Unreadable
from pytest_wf.agent.sweep.cluster import queued
from pytest_wf.wire import fsm
from pytest_wf.wire.rows import Row

#: Seconds that an attempt may take beyond its time-out and grace: for its start, for what it leaves
#: alive, and for the wait before the next one.
ATTEMPT_S = 120
#: How many rows a reason names.
_SHOWN = 10


class Snapshot(NamedTuple):
    """Which processes work on a campaign, read once."""

    campaign: Campaign
    #: Whether its supervisor is alive.
    is_supervised: bool
    #: Rows that were launched and have not ended.
    open_rows: List[Row]
    #: The attempts of open rows whose runner is alive.
    running: List[Tuple[RowDir, int]]

    @property
    def is_active(self) -> bool:
        """Whether its supervisor or a runner is alive."""
        return self.is_supervised or self.running != []


def take(campaign: Campaign) -> Snapshot:
    """The campaign as it is now."""
    queued.reconcile(campaign)
    is_supervised = frozen_campaign.is_supervised(campaign)
    open_rows = [row for row in launches.selected_rows(campaign) if is_open(campaign, row)]
    dirs = [RowDir(campaign, row) for row in open_rows]
    running = [(here, here.last) for here in dirs if here.runner_lives(here.last)]
    return Snapshot(campaign, is_supervised, open_rows, running)


def is_open(campaign: Campaign, row: Row) -> bool:
    """Whether the row has not ended."""
    if row.adopted_from:
        return False
    try:
        return RowDir(campaign, row).summary() is None
    except Unreadable:
        return True


def rest(campaign: Campaign, known: Optional[Sequence[Row]] = None) -> Tuple[str, str]:
    """The state of a pod on which nothing more of the campaign runs, and the reason for it.

    Rows that are not in `known`, if that is given, came to this pod meanwhile: another launch takes
    them.
    """
    ids = None if known is None else {row.run_id for row in known}
    left = [row.run_id for row in take(campaign).open_rows if ids is None or row.run_id in ids]
    if left:
        names = ", ".join(left[:_SHOWN]) + (" and more" if len(left) > _SHOWN else "")
        return fsm.SWEEP_STALLED, "the rows of this launch have ended, and %s have not" % names
    if launches.selected(campaign) is None:
        return fsm.SWEEP_COMPLETED, "every row of the campaign has ended"
    return fsm.SWEEP_COMPLETED, "every row that was selected has ended"


def longest_s(campaign: Campaign) -> Optional[int]:
    """How long the launched rows that have not ended can take at most, one after the other.

    None if nothing limits one of them: it has no time-out, or its files are mirrored when it has
    ended.
    """
    settings = campaign.settings
    total = 0
    for row in take(campaign).open_rows:
        here = RowDir(campaign, row)
        if not here.timeout_s or mirror.is_used(settings):
            return None
        grace_s = settings.int("RUN_KILL_GRACE_SECS")
        total += (1 + here.retries) * (here.timeout_s + grace_s + ATTEMPT_S)
    return total
