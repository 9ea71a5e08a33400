"""The end of a rented pod that nobody comes back to, kept away while a controller lives.

A provider knows one moment a pod, and no condition. So WF_IDLE_DELETE_SECS is a moment that a
living controller keeps moving on: whoever holds the pod's lease arms it and moves it, and whoever
goes, killed or not, leaves it armed. While a sweep or a task runs the moment is so late that every
row and task must have ended by its own time-out before; where one has none nobody knows when that
is, and nothing is armed until its end is seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_wf.errors import WfError
from pytest_wf.pods.base import Renter
from pytest_wf.wire import fsm, operations
from pytest_wf.wire.states import TASK_ENDED

if TYPE_CHECKING:
    from pytest_wf.flow.session import PodSession

__all__ = ["DeadMan"]

_LONGEST_PAUSE_S = 300.0
#: Of the idle time, how much may pass before the moment is moved on.
_MOVED_AFTER = 0.25
#: What a task may take on top of its time-out and grace.
_TASK_S = 120


class DeadMan:
    """Arms and moves the scheduled removal of one session's pod. Thread-safe."""

    def __init__(self, session: PodSession, pause_s: float | None = None) -> None:
        self._session = session
        self._idle_s = session.config.wf_idle_delete_secs
        self._pause_s = pause_s or min(_LONGEST_PAUSE_S, max(1.0, self._idle_s * _MOVED_AFTER))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        #: Monotonic time by which what runs has ended; None while nothing is armed.
        self._work_ends: float | None = None
        #: When the pod ends, as the provider says; or why it does not.
        self.told = "not armed"
        self.moved = 0
        #: What went wrong when it was moved on last; '' for nothing.
        self.trouble = ""

    @property
    def is_meant(self) -> bool:
        """Whether there is anything to arm: a rented pod, and WF_IDLE_DELETE_SECS."""
        return self._idle_s > 0 and isinstance(self._session.provider, Renter)

    def arm(self, *, is_untouched: bool = False) -> str:
        """Set the moment by what the pod does now, and keep moving it on. `told`.

        `is_untouched` is for a pod that was just rented and never answered: nothing of ours runs
        on it, and it cannot be asked. Raises OperationFailed where it cannot be read back, and
        TransportError.
        """
        longest_s, unknown = (0, "") if is_untouched else self._longest_s()
        if self._thread is None and not self._stopped.is_set():
            self._thread = threading.Thread(target=self._move_on, name="wf-deadman", daemon=True)
            self._thread.start()
        with self._lock:
            if longest_s is None:
                self._work_ends = None
                self._set(0)
                self.told = f"not armed: {unknown}"
            else:
                self._work_ends = time.monotonic() + longest_s
                self.told = self._set(longest_s + self._idle_s)
                if not self.told:
                    self._work_ends = None
                    self.told = "not armed: the pod was not rented by this project"
        return self.told

    def try_to_arm(self, *, is_untouched: bool = False) -> None:
        """`arm`, for a flow that goes on without: `told` says so, and it is tried again later."""
        try:
            self.arm(is_untouched=is_untouched)
        except WfError as e:
            self.trouble = str(e)
            self.told = f"unknown: {e.message}"

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Nothing is armed while something is launched, as the moment may come too early for it;
        afterwards it is armed by what runs then, also where nothing was launched.

        Raises OperationFailed where it cannot be read back that nothing is; then the block is
        not entered.
        """
        if not self.is_meant:
            yield
            return
        self.disarm()
        try:
            yield
        finally:
            self.try_to_arm()

    def disarm(self) -> None:
        """Take the moment back.

        Raises OperationFailed where it cannot be read back.
        """
        with self._lock:
            self._work_ends = None
            self._set(0)

    def stop(self) -> None:
        """Move nothing any more; what is armed stays so."""
        self._stopped.set()
        # an interruption may have come while it was started
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=60)

    def facts(self) -> dict[str, object]:
        """For the evidence."""
        return {"idle_removal": self.told, "idle_moved": self.moved, "idle_trouble": self.trouble}

    def _longest_s(self) -> tuple[int | None, str]:
        """How long what runs on the pod can take at most; None, and why, where nobody knows."""
        grace_s = self._session.config.run_kill_grace_secs
        longest_s = 0
        for task in self._session.request(operations.TASK_LIST)["tasks"]:
            task_s = _longest_of_task(task, grace_s)
            if task_s is None:
                return None, (
                    f"task {task['task_id']} is {task['state']}, and nobody knows until when: it "
                    "has no time-out (TASK_TIMEOUT_SECS), or nobody is there to hold it to that"
                )
            longest_s = max(longest_s, task_s)
        if self._session.state()["state"] != fsm.SWEEP_RUNNING:
            return longest_s, ""
        found = self._session.request(operations.MANIFEST).get("longest_s")
        if type(found) is int and found >= 0:
            return max(longest_s, found), ""
        return None, (
            "the sweep runs, and nobody knows until when: a row has no time-out "
            "(RUN_TIMEOUT_SECS), or RUN_OUT_MODE is local_sync"
        )

    def _set(self, after_s: int) -> str:
        session = self._session
        assert isinstance(session.provider, Renter)
        root = str(session.project.root)
        return session.provider.end_when_idle(session.target, session.config, root, after_s)

    def _move_on(self) -> None:
        while not self._stopped.wait(self._pause_s):
            with self._lock:
                if self._work_ends is None or self._stopped.is_set():
                    continue
                if self._session.lost:
                    # whoever holds the pod now decides; what they took back must stay so
                    self.trouble = f"no longer moved on: {self._session.lost}"
                    return
                left_s = max(0.0, self._work_ends - time.monotonic())
                try:
                    self.told = self._set(int(left_s) + self._idle_s)
                except Exception as e:  # noqa: BLE001 - else a living controller loses its pod
                    self.trouble = str(e) or type(e).__name__
                else:
                    self.moved, self.trouble = self.moved + 1, ""


def _longest_of_task(task: Mapping[str, Any], grace_s: int) -> int | None:
    """How long a task can still take; 0 where nothing of it runs, None where nobody knows."""

    state, timeout_s = task["state"], task["timeout_s"]
    if state in ("pending", "running") and type(timeout_s) is int and timeout_s > 0:
        return timeout_s + grace_s + _TASK_S
    is_over = state in TASK_ENDED or (state == "lost" and not task["processes"])
    return 0 if is_over else None
