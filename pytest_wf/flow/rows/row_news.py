"""Shows a campaign's rows on the live view, in a bounded share of the flow's time."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_wf.console.live import News
from pytest_wf.console.progress import progress_of
from pytest_wf.wire.rows import CampaignStatus

#: The largest share of time while rows have not ended: each update goes through all of them.
_SHARE = 0.1


class RowNews:
    """Shows the statuses of a campaign; of many in quick succession, only the last one."""

    def __init__(
        self, show: Callable[[News], None], what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show = show
        self._what = what
        self._clock = clock
        self._next = 0.0

    def take(self, status: CampaignStatus) -> None:
        """Show a status if it is time, and always if all its rows have ended."""
        began = self._clock()
        if began < self._next and status.open:
            return
        self._show(progress_of(status, self._what))
        self._next = self._clock() + (self._clock() - began) / _SHARE
