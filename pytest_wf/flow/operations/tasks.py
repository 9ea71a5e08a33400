"""Tracked tasks: run, status, wait, stop.

The pod does the work; a task continues without the controller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_wf.errors import InputError, Problem
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import ids, operations, states
from pytest_wf.wire.process import exit_status, is_argument

#: Exit status if the task or the wait timed out, as of timeout(1).
TIMED_OUT = 124

#: Seconds that one long poll may take on the pod.
_POLL_S = 5.0


@dataclass(frozen=True)
class TaskSpec:
    """A task to start."""

    id: str
    #: The command, for bash on the pod.
    command: str
    #: None means TASK_TIMEOUT_SECS, 0 no limit.
    timeout_s: int | None = None
    #: Absolute, or below the repository.
    workdir: str = ""
    #: Whether an ended task of that id is archived first.
    force: bool = False


def run(session: PodSession, task: TaskSpec, secrets: Mapping[str, str]) -> Result:
    """Start a task, detached, on the pod, and return its status once it has begun.

    Raises InputError for an invalid id or command, and OperationFailed.
    """
    check(task.id, task.command)
    session.hold_lease()
    args = {**asdict(task), "secrets": dict(secrets)}
    with session.idle_removal.suspended():
        return Result("task-run", session.request(operations.TASK_RUN, args, timeout_s=120))


def status(session: PodSession, task_id: str) -> Result:
    """The status of a task."""
    check(task_id)
    return Result("task-status", session.request(operations.TASK_STATUS, {"id": task_id}))


def list_all(session: PodSession) -> Result:
    """All tasks of the pod, oldest first."""
    return Result("task-list", session.request(operations.TASK_LIST))


def stop(session: PodSession, task_id: str) -> Result:
    """End every process of a task."""
    check(task_id)
    session.hold_lease()
    grace_s = session.config.run_kill_grace_secs
    answer = session.request(operations.TASK_STOP, {"id": task_id}, timeout_s=grace_s + 120)
    session.idle_removal.try_schedule()
    return Result("task-stop", answer)


def wait(session: PodSession, task_id: str, timeout_s: float = 0) -> Result:
    """Wait until a task has ended; return its status and whether the ``wait_timed_out``.

    `timeout_s` 0 waits without limit. Raises OperationFailed('no-such-task'), and TransportError
    if the pod has been silent for POD_SILENCE_MAX_SECS.
    """
    check(task_id)
    until = time.monotonic() + timeout_s if timeout_s else math.inf
    seen = None
    while True:
        left_s = max(0.0, until - time.monotonic())
        found = look(session, task_id, seen, min(_POLL_S, left_s), left_s)
        if found["state"] not in (states.PENDING, states.RUNNING):
            return Result("task-wait", {**found, "wait_timed_out": False})
        if time.monotonic() >= until:
            return Result("task-wait", {**found, "wait_timed_out": True})
        seen = found["seen"]


def exit_code_of(facts: Mapping[str, Any]) -> tuple[int, str]:
    """Exit status of `wf task-wait`, and the line that explains it.

    The task's own status, 124 for a time-out; 1 if it is unknown how the task ended.
    """
    name, code, reason = facts["task_id"], facts.get("exit_code"), facts.get("reason")
    because = f": {reason}" if reason else ""
    if facts.get("wait_timed_out"):
        return TIMED_OUT, f"the wait for task {name} timed out; the task is {facts['state']}."
    if facts["state"] == states.SUCCESS:
        return 0, f"task {name} succeeded."
    if facts["state"] == states.TIMED_OUT:
        return TIMED_OUT, f"task {name} timed out{because}."
    if facts["state"] == states.FAILED:
        own = f" with {exit_status(code)}" if code is not None else ""
        # a command that was stopped may still have exited with 0
        return (code or 1), f"task {name} failed{own}{because}."
    return 1, f"task {name} is {facts['state']}{because}."


def look(
    session: PodSession, task_id: str, seen: str | None, wait_s: float, left_s: float = math.inf
) -> dict[str, Any]:
    """Poll once for news of a task; waits for a silent pod, but no longer than `left_s`."""
    patience, args = session.patience, {"id": task_id, "seen": seen, "wait_s": wait_s}
    with patience.limited(min(session.config.pod_silence_max_secs, max(1.0, left_s))):
        return session.request(operations.TASK_STATUS, args, timeout_s=60 + wait_s)


def check(task_id: str, command: str | None = None) -> None:
    """Raise InputError for an invalid id or command; contacts nothing."""
    problems = []
    if not ids.is_id(task_id):
        problems.append(
            Problem(
                "wf",
                None,
                "--id",
                task_id,
                "not a task id.",
                f"Ids match {ids.ID_PATTERN.pattern}, and are none of "
                f"{', '.join(sorted(ids.RESERVED))} and no device of Windows.",
            )
        )
    if command is not None and (not command.strip() or not is_argument(command)):
        problems.append(Problem("wf", None, "--cmd", command, "no command.", "Write one."))
    if problems:
        raise InputError(problems)
