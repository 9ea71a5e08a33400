"""Schedules the removal of a pod with its provider, and reads it back."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import Account, Busy, NoResponse, Refused
from pytest_wf.pods.rental.journal import age_s
from pytest_wf.pods.rental.timing import Timing, list_pods

#: The most seconds by which a removal that is read back may differ from the requested one.
SLACK_S = 120.0


def schedule_removal(account: Account, pod: Pod, when: str, timing: Timing) -> str | None:
    """Have the pod removed at `when` (RFC 3339), '' for never.

    The moment that was read back, '' for never; None if it could not be read back in time.
    """
    end = time.monotonic() + timing.schedule_s
    while True:
        try:
            account.schedule_removal(pod, when)
        except Busy as e:
            time.sleep(e.retry_after_s)
        except NoResponse:
            pass  # what is read back decides
        except Refused:
            if when:
                return None
        for listed in list_pods(account, timing) or []:
            if listed.id == pod.id and _is_at(listed.removal_at, when):
                return listed.removal_at
        if time.monotonic() + timing.poll_s > end:
            return None
        time.sleep(timing.poll_s)


def _is_at(found: str, when: str) -> bool:
    """Whether a removal that was read back is the requested one."""
    if not found or not when:
        return found == when
    found_s, asked_s = age_s(found), age_s(when)
    return found_s is not None and asked_s is not None and abs(found_s - asked_s) <= SLACK_S


def later(start: str, by_s: float) -> str:
    """The moment `by_s` seconds after `start`, in the form of the API."""
    when = datetime.fromisoformat(start.replace("Z", "+00:00")) + timedelta(seconds=by_s)
    return when.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
