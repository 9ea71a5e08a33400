"""The end of a rented pod that nobody comes back to, kept away while a controller lives.

A provider knows one moment a pod, and no condition. So WF_IDLE_DELETE_SECS is a moment that a
living controller keeps moving on: whoever holds the pod's lease arms it and moves it, and whoever
goes, killed or not, leaves it armed. While a sweep runs the moment is so late that every row must
have ended by its own time-out before; where a row has none nobody knows when that is, and nothing
is armed until the sweep's end is seen.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pytest_wf.errors import WfError
from pytest_wf.pods.base import Renter
from pytest_wf.wire import fsm

if TYPE_CHECKING:
    from pytest_wf.flow.session import PodSession

__all__ = ["DeadMan"]

_LONGEST_PAUSE_S = 300.0
#: Of the idle time, how much may pass before the moment is moved on.
_MOVED_AFTER = 0.25


class DeadMan:
    """Arms and moves the scheduled removal of one session's pod. Thread-safe."""

    def __init__(self, session: PodSession, pause_s: float | None = None) -> None:
        self._session = session
        self._idle_s = session.config.wf_idle_delete_secs
        self._pause_s = pause_s or min(_LONGEST_PAUSE_S, max(1.0, self._idle_s * _MOVED_AFTER))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        #: Monotonic time by which the sweep has ended; None while nothing is armed.
        self._sweep_ends: float | None = None
        #: When the pod ends, as the provider says; or why it does not.
        self.told = "not armed"
        self.moved = 0
        #: What went wrong when it was moved on last; '' for nothing.
        self.trouble = ""

    @property
    def is_meant(self) -> bool:
        """Whether there is anything to arm: a rented pod, and WF_IDLE_DELETE_SECS."""
        return self._idle_s > 0 and isinstance(self._session.provider, Renter)

    def arm(self) -> str:
        """Set the moment by what the pod does now, and keep moving it on. `told`.

        Raises OperationFailed where it cannot be read back; TransportError.
        """
        longest_s = self._longest_s()
        if self._thread is None and not self._stopped.is_set():
            self._thread = threading.Thread(target=self._move_on, name="wf-deadman", daemon=True)
            self._thread.start()
        with self._lock:
            if longest_s is None:
                self._sweep_ends = None
                self._set(0)
                self.told = (
                    "not armed: the sweep runs, and nobody knows until when: a row has no time-out "
                    "(RUN_TIMEOUT_SECS), or RUN_OUT_MODE is local_sync"
                )
            else:
                self._sweep_ends = time.monotonic() + longest_s
                self.told = self._set(longest_s + self._idle_s)
                if not self.told:
                    self._sweep_ends = None
                    self.told = "not armed: the pod was not rented by this project"
        return self.told

    def try_to_arm(self) -> None:
        """`arm`, for a flow that goes on without: `told` says so, and it is tried again later."""
        try:
            self.arm()
        except WfError as e:
            self.trouble = str(e)
            self.told = f"unknown: {e.message}"

    def disarm(self) -> None:
        """Take the moment back, before a sweep begins: it may come too early for that.

        Raises OperationFailed where it cannot be read back.
        """
        with self._lock:
            self._sweep_ends = None
            self._set(0)

    def stop(self) -> None:
        """Move nothing any more; what is armed stays so."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=60)

    def facts(self) -> dict[str, object]:
        """For the evidence."""
        return {"idle_removal": self.told, "idle_moved": self.moved, "idle_trouble": self.trouble}

    def _longest_s(self) -> int | None:
        if self._session.state()["state"] != fsm.SWEEP_RUNNING:
            return 0
        found = self._session.request("manifest").get("longest_s")
        return found if type(found) is int and found >= 0 else None

    def _set(self, after_s: int) -> str:
        session = self._session
        assert isinstance(session.provider, Renter)
        root = str(session.project.root)
        return session.provider.end_when_idle(session.target, session.config, root, after_s)

    def _move_on(self) -> None:
        while not self._stopped.wait(self._pause_s):
            with self._lock:
                if self._sweep_ends is None or self._stopped.is_set():
                    continue
                if self._session.lost:
                    # whoever holds the pod now decides; what they took back must stay so
                    self.trouble = f"no longer moved on: {self._session.lost}"
                    return
                left_s = max(0.0, self._sweep_ends - time.monotonic())
                try:
                    self.told = self._set(int(left_s) + self._idle_s)
                except Exception as e:  # noqa: BLE001 - else a living controller loses its pod
                    self.trouble = str(e) or type(e).__name__
                else:
                    self.moved, self.trouble = self.moved + 1, ""
