"""The pod's wall clock as text: for people, never for time-outs."""

import time
from typing import Optional


def now() -> str:
    """The pod's wall clock, UTC, RFC 3339: for people, never for time-outs."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def lasted(seconds: float) -> str:
    """A duration for people."""
    if seconds < 60:
        return "%.1f s" % seconds
    minutes = int(seconds // 60)
    return "%d h %02d min" % divmod(minutes, 60) if minutes >= 60 else "%d min" % minutes


def age_s(at: str) -> Optional[int]:
    """Seconds since `at`, a time that `now` gave; None for anything else."""
    import calendar  # imports modules that otherwise only `strptime` needs

    try:
        then = time.strptime(at, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None
    return max(0, int(time.time()) - calendar.timegm(then))
