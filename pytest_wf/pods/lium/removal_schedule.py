"""A pod that ends by itself: its removal is scheduled with the provider, and read back."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from pytest_wf.pods.base import Pod
from pytest_wf.pods.lium.api import Account, Busy, Refused, Unanswered
from pytest_wf.pods.lium.pace import Pace, look
from pytest_wf.pods.lium.rentals import age_s

__all__ = ["arm", "later", "take_back"]

#: A removal that is read back may be so far from what was asked for.
SLACK_S = 120.0


def arm(account: Account, pod_id: str, when: str, pace: Pace) -> str:
    """Have the pod removed at `when`; what was read back, '' where nothing right could be."""
    end = time.monotonic() + pace.schedule_s
    while True:
        try:
            account.schedule_removal(pod_id, when)
        except Busy as e:
            time.sleep(e.retry_after_s)
        except Unanswered:
            pass
        except Refused:
            return ""
        for pod in look(account, pace) or []:
            late_s = age_s(when) if pod.id == pod_id else None
            read_s = age_s(pod.removal_at) if pod.removal_at else None
            if late_s is not None and read_s is not None and abs(late_s - read_s) <= SLACK_S:
                return pod.removal_at
        if time.monotonic() + pace.poll_s > end:
            return ""
        time.sleep(pace.poll_s)


def take_back(account: Account, pod: Pod, pace: Pace) -> bool:
    """Have the pod removed at no moment; whether that was read back."""
    end = time.monotonic() + pace.schedule_s
    while True:
        try:
            account.cancel_removal(pod)
        except Busy as e:
            time.sleep(e.retry_after_s)
        except (Refused, Unanswered):
            pass  # what is read back decides
        for listed in look(account, pace) or []:
            if listed.id == pod.id and not listed.removal_at:
                return True
        if time.monotonic() + pace.poll_s > end:
            return False
        time.sleep(pace.poll_s)


def later(start: str, by_s: float) -> str:
    """The moment `by_s` seconds after `start`, as the API takes it."""
    when = datetime.fromisoformat(start.replace("Z", "+00:00")) + timedelta(seconds=by_s)
    return when.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
