"""News of a campaign's rows for the live view, in a bounded share of the flow's time."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_wf.console.live import News
from pytest_wf.console.progress import progress_of
from pytest_wf.wire.rows import CampaignStatus

#: The most that it takes of all time while rows are open: it goes through all of them.
_SHARE = 0.1


class RowNews:
    """Shows the statuses of a campaign; not each of many that come fast, but the last one."""

    def __init__(
        self, show: Callable[[News], None], what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show = show
        self._what = what
        self._clock = clock
        self._next = 0.0

    def take(self, status: CampaignStatus) -> None:
        """Show a status where it is time, and always where all its rows have ended."""
        began = self._clock()
        if began < self._next and status.open:
            return
        self._show(progress_of(status, self._what))
        self._next = self._clock() + (self._clock() - began) / _SHARE
