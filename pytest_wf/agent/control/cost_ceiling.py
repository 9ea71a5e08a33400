"""The moment from which a campaign's rows cost more than may be spent.

The controller knows the prices, and computes for how many seconds the remaining money pays. The pod
keeps the moment, as the controller may be away at that time.
"""

import time
from typing import Any, Dict, NamedTuple, Optional

from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.process import boot_id


class Ceiling(NamedTuple):
    """A ceiling on costs, as a moment of this pod."""

    #: Its name in messages, such as ``WF_MAX_USD=10``.
    name: str
    #: The moment by the clock that runs since the boot `boot_id`, and by the wall clock.
    boot_id: str
    boot_s: float
    wall_s: float

    @classmethod
    def asked_for(cls, value: Any) -> "Optional[Ceiling]":
        """The ceiling of a request, ``{name, seconds}``; None for none. Raises Refusal."""
        if value is None:
            return None
        seconds = value.get("seconds") if isinstance(value, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise Refusal("agent-broken", "the ceiling on costs has no number of seconds")
        left_s = max(0.0, float(seconds))
        name = str(value.get("name") or "the ceiling on costs")
        return cls(name, boot_id(), _since_boot() + left_s, time.time() + left_s)

    @classmethod
    def from_json(cls, value: Any) -> "Optional[Ceiling]":
        """The ceiling in a launch's record. Raises TypeError, KeyError and ValueError."""
        if value is None:
            return None
        numbers = float(value["boot_s"]), float(value["wall_s"])
        return cls(str(value["name"]), str(value["boot_id"]), *numbers)

    def as_json(self) -> Dict[str, Any]:
        """The ceiling as `from_json` reads it."""
        return dict(self._asdict())

    @property
    def is_reached(self) -> bool:
        """Whether the moment has come; after a reboot, by the wall clock."""
        if self.boot_id == boot_id():
            return _since_boot() >= self.boot_s
        return time.time() >= self.wall_s


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
