"""Time limits of renting, and the one way to read an account's listing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import Account, Busy, NoResponse
from pytest_wf.pods.rental.config_keys import RentalKeys


@dataclass(frozen=True)
class Timing:
    """Time limits and intervals in seconds."""

    #: Between two listings.
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
    #: For a pod's SSH banner, per try.
    banner_s: float = 5.0
    #: The most requests to the account, in any `window_s` seconds. The time is a bit more than the
    #: minute that a provider counts, as requests take different times to arrive.
    requests: int = 60
    window_s: float = 62.0

    @classmethod
    def of(cls, keys: RentalKeys) -> Timing:
        """The time limits that a config asks for."""
        poll_s, delete_s = float(keys.poll_secs), float(keys.delete_timeout_secs)
        return cls(
            poll_s=poll_s,
            settle_s=float(keys.listing_lag_secs),
            delete_s=delete_s,
            # a removal in place of a deletion gets a quarter of its time
            schedule_s=max(2 * poll_s, delete_s / 4),
        )


def list_pods(account: Account, timing: Timing) -> Sequence[Pod] | None:
    """The account's pods; None, after a pause, if they cannot be listed now."""
    try:
        return account.pods()
    except Busy as e:
        time.sleep(max(timing.poll_s, e.retry_after_s))
    except NoResponse:
        time.sleep(timing.poll_s)
    return None
