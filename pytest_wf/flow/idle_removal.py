"""Removal of a rented pod WF_IDLE_DELETE_SECS after its last controller has gone.

A provider removes a pod at a given time, unconditionally. So the controller that holds
the pod's lease schedules that time and keeps postponing it; when a controller ends, killed or
not, the removal remains scheduled. While a sweep or a task runs, the time is later than the
time-outs of all rows and tasks allow. If one of them has no time-out, its end is unknown, and no
removal is scheduled until it has ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from pytest_wf import threads
from pytest_wf.config.keys import Config
from pytest_wf.errors import WfError
from pytest_wf.pods.base import Provider, Target, is_renter
from pytest_wf.project.project import Project
from pytest_wf.wire import fsm, operations
from pytest_wf.wire.states import TASK_ENDED

_LONGEST_PAUSE_S = 300.0
#: Fraction of the idle time after which the removal is scheduled again.
_RENEWED_AFTER = 0.25
#: How long to wait for a renewal that is running; the account may not answer.
_STOP_S = 5
#: The time that a task may take in addition to its time-out and grace.
_TASK_S = 120


class Session(Protocol):
    """The part of a session with a pod that idle removal needs; see `PodSession`."""

    project: Project
    config: Config
    provider: Provider
    target: Target

    @property
    def lost(self) -> str:
        """Why the pod's lease is no longer this session's; '' while it is."""

    def request(self, op: str) -> dict[str, Any]:
        """Send a request to the agent."""

    def state(self) -> dict[str, Any]:
        """The pod's state record."""


class IdleRemoval:
    """Schedules the removal of one session's pod and keeps postponing it. Thread-safe.

    It is enabled for a rented pod if WF_IDLE_DELETE_SECS is set.
    """

    def __init__(self, session: Session, pause_s: float | None = None) -> None:
        self._session = session
        self._idle_s = session.config.wf_idle_delete_secs
        self._pause_s = pause_s or min(_LONGEST_PAUSE_S, max(1.0, self._idle_s * _RENEWED_AFTER))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        #: Monotonic time by which all that runs has ended; None if nothing is scheduled.
        self._work_ends: float | None = None
        #: When the pod will be removed, according to the provider; or why it will not be.
        self.status = "not scheduled"
        #: How often the removal was postponed.
        self.renewals = 0
        #: Why the last attempt to postpone it failed; '' if it did not.
        self.last_error = ""

    @property
    def is_enabled(self) -> bool:
        """Whether the pod is rented and WF_IDLE_DELETE_SECS is set."""
        return self._idle_s > 0 and is_renter(self._session.provider)

    def schedule(self, *, is_untouched: bool = False) -> str:
        """Schedule the removal by what the pod does now, keep postponing it, and return `status`.

        `is_untouched` is for a pod that was just rented and never answered: nothing runs on it,
        and it cannot be asked. Raises OperationFailed if the provider does not confirm the
        time, and TransportError.
        """
        longest_s, unknown = (0, "") if is_untouched else self._longest_s()
        if self._thread is None and not self._stopped.is_set():
            self._thread = threading.Thread(target=self._renew, name="wf-idle-removal", daemon=True)
            threads.start(self._thread)
        with self._lock:
            if longest_s is None:
                self._work_ends = None
                self._set(0)
                self.status = f"not scheduled: {unknown}"
            else:
                self._work_ends = time.monotonic() + longest_s
                self.status = self._set(longest_s + self._idle_s)
                if not self.status:
                    self._work_ends = None
                    self.status = "not scheduled: the pod was not rented by this project"
        return self.status

    def try_schedule(self, *, is_untouched: bool = False) -> None:
        """`schedule`, if it is enabled, without raising: `status` contains the error."""
        if not self.is_enabled:
            return
        try:
            self.schedule(is_untouched=is_untouched)
        except WfError as e:
            self.last_error = str(e)
            self.status = f"unknown: {e.message}"

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Cancel the removal while the block launches something that may run longer.

        It is scheduled again afterwards, even if nothing was launched. Raises OperationFailed,
        before the block is entered, if the provider does not confirm that it is cancelled.
        """
        if not self.is_enabled:
            yield
            return
        self.cancel()
        try:
            yield
        finally:
            self.try_schedule()

    def cancel(self) -> None:
        """Cancel the removal. Raises OperationFailed if the provider does not confirm it."""
        with self._lock:
            self._work_ends = None
            self._set(0)

    def stop(self) -> None:
        """Stop postponing the removal; a scheduled one remains scheduled."""
        self._stopped.set()
        # an interruption may have come during the start
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=_STOP_S)

    def facts(self) -> dict[str, object]:
        """Facts for the evidence; empty if it is not enabled."""
        if not self.is_enabled:
            return {}
        return {
            "idle_removal": self.status,
            "idle_renewals": self.renewals,
            "idle_error": self.last_error,
        }

    def _longest_s(self) -> tuple[int | None, str]:
        """The maximum time left for all that runs; None, and why, if it is unknown."""
        grace_s = self._session.config.run_kill_grace_secs
        longest_s = 0
        try:
            tasks = [
                (task, _longest_of_task(task, grace_s))
                for task in self._session.request(operations.TASK_LIST)["tasks"]
            ]
        except (LookupError, TypeError):
            return None, "the pod's list of tasks cannot be read"
        for task, task_s in tasks:
            if task_s is None:
                return None, (
                    f"task {task['task_id']} is {task['state']} and its end time is unknown: it "
                    "has no time-out (TASK_TIMEOUT_SECS), or no process enforces it"
                )
            longest_s = max(longest_s, task_s)
        if self._session.state()["state"] != fsm.SWEEP_RUNNING:
            return longest_s, ""
        found = self._session.request(operations.MANIFEST).get("longest_s")
        if type(found) is int and found >= 0:
            return max(longest_s, found), ""
        return None, (
            "the sweep runs and its end time is unknown: a row has no time-out "
            "(RUN_TIMEOUT_SECS), or RUN_OUT_MODE is local_sync"
        )

    def _set(self, after_s: int) -> str:
        session = self._session
        assert is_renter(session.provider)
        root = str(session.project.root)
        return session.provider.schedule_removal(session.target, session.config, root, after_s)

    def _renew(self) -> None:
        while not self._stopped.wait(self._pause_s):
            with self._lock:
                if self._work_ends is None or self._stopped.is_set():
                    continue
                if self._session.lost:
                    # another controller decides now; what it cancelled must stay cancelled
                    self.last_error = f"no longer postponed: {self._session.lost}"
                    return
                left_s = max(0.0, self._work_ends - time.monotonic())
                try:
                    self.status = self._set(int(left_s) + self._idle_s)
                except Exception as e:  # noqa: BLE001 - a thread that ends lets a pod in use be removed
                    self.last_error = str(e) or type(e).__name__
                else:
                    self.renewals, self.last_error = self.renewals + 1, ""


def _longest_of_task(task: Mapping[str, Any], grace_s: int) -> int | None:
    """Seconds that a task can still take; 0 if no process of it runs, None if unknown."""
    state, timeout_s = task["state"], task["timeout_s"]
    if state in ("pending", "running") and type(timeout_s) is int and timeout_s > 0:
        return timeout_s + grace_s + _TASK_S
    is_over = state in TASK_ENDED or (state == "lost" and not task["processes"])
    return 0 if is_over else None
