"""Times in records: RFC 3339, in UTC."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

RFC3339 = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z"


def rfc3339(t: datetime) -> str:
    """`t` in UTC with milliseconds, such as ``2026-01-02T03:04:05.678Z``.

    Raises ValueError for a naive time.
    """
    if t.tzinfo is None:
        raise ValueError(f"{t!r} has no time zone")
    text = t.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """The time in the format of `rfc3339`. Raises ValueError for anything but RFC 3339 in UTC."""
    if re.fullmatch(RFC3339, text) is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time in UTC")
    seconds, _, fraction = text[:-1].partition(".")
    whole = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return whole + timedelta(microseconds=int(fraction.ljust(6, "0"))) if fraction else whole
