"""How patiently Lium is asked, and the one way to look at its listing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_wf.pods.base import Pod
from pytest_wf.pods.lium.api import Account, Busy, Unanswered

if TYPE_CHECKING:
    from pytest_wf.config.reader import Config

__all__ = ["NEVER_RAN", "TERMINAL", "Pace", "look"]

#: Statuses that a pod never leaves; none of them is billed.
TERMINAL = frozenset(
    "FAILED STOPPED ERROR TERMINATED DELETED REMOVED CANCELLED CREATION_FAILED BROKEN "
    "REBOOT_FAILED DELETING".split()
)
#: Statuses of a pod that was never made; its row stays for some minutes.
NEVER_RAN = frozenset({"CREATION_FAILED"})


@dataclass(frozen=True)
class Pace:
    """Times in seconds."""

    #: Between two looks at the listing; 60 requests a minute and account are allowed.
    poll_s: float = 2.0
    #: How long a pod that exists may stay out of the listing.
    settle_s: float = 60.0
    #: How long a deletion is tried and awaited.
    delete_s: float = 120.0
    #: How long a scheduled removal may take to be read back.
    schedule_s: float = 30.0
    #: From a deletion that could not be proved to the removal that is scheduled instead.
    removal_in_s: float = 300.0
    #: For the answer to a rent.
    answer_s: float = 60.0
    #: For a pod's SSH banner, per look.
    banner_s: float = 5.0

    @classmethod
    def of(cls, config: Config) -> Pace:
        """The pace that a config asks for."""
        poll_s, delete_s = float(config.lium_poll_secs), float(config.lium_delete_timeout_secs)
        return cls(
            poll_s=poll_s,
            settle_s=float(config.lium_listing_lag_secs),
            delete_s=delete_s,
            # a removal that stands in for a deletion gets a quarter of its time
            schedule_s=max(2 * poll_s, delete_s / 4),
        )


def look(account: Account, pace: Pace) -> list[Pod] | None:
    """The listing; None where it cannot be had now, after a pause."""
    try:
        return account.pods()
    except Busy as e:
        time.sleep(max(pace.poll_s, e.retry_after_s))
    except Unanswered:
        time.sleep(pace.poll_s)
    return None
