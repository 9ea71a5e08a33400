"""What a supervisor writes about itself: its record, ``supervisor.json``, and its log."""

import os
import time
from typing import Any, Dict, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import clock
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.wire.files import write_json
from pytest_wf.wire.rows import SCHEMA

#: Seconds between two heartbeats.
BEAT_S = 5.0


class SupervisorRecord:
    """The record and the log of the supervisor in this process.

    Every write of the record is a heartbeat, too.
    """

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._body: Dict[str, Any] = {}
        #: Monotonic time at which the next heartbeat is due.
        self.beat_at = 0.0

    @property
    def waits(self) -> Optional[str]:
        """What the next row waits for; None if it does not wait."""
        waits: Optional[str] = self._body.get("waits")
        return waits

    def begin(self, launch: int, window: Any) -> None:
        """Record that this process works on launch `launch`, in the tmux window `window`.

        Raises OSError.
        """
        pid, campaign_id = os.getpid(), self._campaign.campaign_id
        self.update(
            **process.identity(pid),
            schema=SCHEMA,
            campaign_id=campaign_id,
            started_at=clock.now(),
            tmux=window,
            launch=launch,
            first_launch=launch,
        )
        self.log("supervisor %d of campaign %s" % (pid, campaign_id))

    def update(self, **fields: Any) -> None:
        """Write the record with new values of `fields`. Raises OSError."""
        self._body.update(fields)
        self.beat_at = time.monotonic() + BEAT_S
        body = dict(self._body, heartbeat=clock.now())
        write_json(os.path.join(self._campaign.folder, "supervisor.json"), body, 0o600)

    def beat(self) -> None:
        """Write a heartbeat if one is due."""
        if time.monotonic() < self.beat_at:
            return
        try:
            self.update()
        except OSError as e:
            self.log("the heartbeat could not be written: %s" % e)

    def end(self, to: str, reason: str) -> None:
        """Record the end of the supervisor: the state that it leaves the pod in, and the reason."""
        try:
            self.update(ended_at=clock.now(), end=to, reason=reason)
        except OSError as e:
            self.log("supervisor.json does not say so: %s" % e)

    def log(self, text: str) -> None:
        """Add a line to the supervisor's log."""
        try:
            with open(self._campaign.log_path, "a", encoding="utf-8") as f:
                f.write("%s wf: %s\n" % (clock.now(), text))
        except OSError:
            pass  # a campaign does not fail because of its own log
