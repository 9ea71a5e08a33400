"""Who works on a campaign and which of its rows have not ended, read once."""

from typing import List, NamedTuple, Optional, Tuple

from pytest_wf.agent.control import frozen_campaign
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.run import mirror
from pytest_wf.agent.run.run_dir import RowDir, Unreadable
from pytest_wf.wire.rows import Row

#: What an attempt may take on top of its time-out and grace: its start, what it leaves alive,
#: the wait before the next one.
ATTEMPT_S = 120


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


def take(campaign: Campaign) -> Snapshot:
    """The campaign as it is now."""
    is_supervised = frozen_campaign.is_supervised(campaign)
    open_rows = [row for row in campaign.rows if is_open(campaign, row)]
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
