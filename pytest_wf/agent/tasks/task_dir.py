"""A tracked task's directory, and the status that is read from it.

``_tasks/<task_id>/`` holds ``status.json``, ``stdout.log`` and ``command.sh``. A task is
pending, running, success, failed or timed_out; in answers also lost, if its runner is gone and
wrote no end, and unreadable. Neither of these two is success or failure.
"""

import os
import shlex
from typing import Any, Dict, List, Optional, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control import locks
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import exit_status
from pytest_wf.agent.run.child_process import shell_status
from pytest_wf.agent.run.exit_status import Exit
from pytest_wf.agent.run.run_dir import Unreadable, read_object
from pytest_wf.wire import ids
from pytest_wf.wire.files import canonical_json, sha256_bytes
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.process import boot_id
from pytest_wf.wire.states import TASK_ENDED

SCHEMA = 1


def status_of(settings: Settings, task_id: str, *, locked: bool = False) -> Dict[str, Any]:
    """The status of a task; `locked` if the caller holds `lock_path`.

    Raises Refusal 'no-such-task'.
    """
    folder = settings.task_dir(task_id)
    if os.path.islink(folder) or not os.path.isdir(folder):
        raise Refusal("no-such-task", "the pod has no task %s" % task_id, "See `wf task-list`.")
    # checked in this order: a runner that ends in between has written how it ended
    beginning = not locked and _is_beginning(settings)
    alive = runner_lives(folder)
    try:
        status, frozen = objects(folder)
        told_state = status.get("state")
        if told_state not in (*TASK_ENDED, "pending", "running"):
            raise Unreadable("status.json names no state: %r" % (told_state,))
    except Unreadable as e:
        return _shown(settings, task_id, {}, {}, "unreadable", str(e))
    reason = status.get("reason")
    if told_state in TASK_ENDED or alive or (told_state == "pending" and beginning):
        return _shown(settings, task_id, frozen, status, str(told_state), reason)
    exited = exit_status.read(folder) if told_state == "running" else None
    if exited is not None:
        return _shown_by_exit(settings, task_id, frozen, status, exited)
    if told_state == "pending":
        reason = "its runner did not start, so the command was not run"
    elif (runner_of(folder) or {}).get("boot_id") != boot_id():
        reason = "the pod was restarted; how the command ended is unknown"
    else:
        reason = "the runner was killed; how the command ended is unknown"
    return _shown(settings, task_id, frozen, status, "lost", reason)


def task_ids(settings: Settings) -> List[str]:
    """The ids of all tasks that have a directory."""
    try:
        entries = list(os.scandir(settings.tasks))
    except FileNotFoundError:
        return []
    return sorted(e.name for e in entries if ids.is_id(e.name) and e.is_dir(follow_symlinks=False))


def at_work(settings: Settings) -> List[str]:
    """The ids of the tasks of which any process runs."""
    found = (status_of(settings, task_id) for task_id in task_ids(settings))
    return [
        t["task_id"]
        for t in found
        if t["state"] in ("pending", "running")
        or t["processes"]
        or (t["state"] == "unreadable" and runner_lives(t["path"]))
    ]


def runner_of(folder: str) -> Optional[Dict[str, Any]]:
    """Identity of the runner of the task in `folder`; None if none was recorded."""
    try:
        return read_object(os.path.join(folder, "pid.json"))
    except Unreadable:
        return None


def runner_lives(folder: str) -> bool:
    """Whether the task's runner is alive."""
    return process.is_alive(runner_of(folder) or {})


def frozen_of(folder: str) -> Optional[Dict[str, Any]]:
    """``task.json``; None if it cannot be read."""
    try:
        return read_object(os.path.join(folder, "task.json"))
    except Unreadable:
        return None


def objects(folder: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """``status.json`` and ``task.json``. Raises Unreadable."""
    status = read_object(os.path.join(folder, "status.json"))
    frozen = read_object(os.path.join(folder, "task.json"))
    if status is None or frozen is None:
        raise Unreadable("%s is gone" % ("task.json" if frozen is None else "status.json"))
    return status, frozen


def lock_path(settings: Settings) -> str:
    """The lock that is held while a task is started or archived."""
    return os.path.join(settings.control, "tasks.lock")


def _is_beginning(settings: Settings) -> bool:
    """Whether a task is being started."""
    lock = locks.try_lock(lock_path(settings))
    if lock is None:
        return True
    os.close(lock)
    return False


def _shown(
    settings: Settings,
    task_id: str,
    frozen: Dict[str, Any],
    status: Dict[str, Any],
    task_state: str,
    reason: Any,
) -> Dict[str, Any]:
    no_runner = task_state not in ("pending", "running") and status.get("state") not in TASK_ENDED
    in_doubt = no_runner and frozen.get("cookie")
    body: Dict[str, Any] = {
        "task_id": task_id,
        "state": task_state,
        "reason": reason,
        "workdir": frozen.get("workdir"),
        "timeout_s": frozen.get("timeout_s"),
        "created_at": frozen.get("created_at"),
        "path": settings.task_dir(task_id),
        "left": status.get("left") or [],
        "notes": status.get("notes") or [],
        #: The processes that still run of a task whose runner is gone.
        "processes": sorted(process.holders(str(frozen["cookie"]))) if in_doubt else [],
        "attach": _attach(status) if task_state == "running" else None,
    }
    for key in ("exit_code", "signal", "started_at", "ended_at", "pid", "boot_id"):
        body[key] = status.get(key)
    body["seen"] = sha256_bytes(canonical_json(body))
    return body


def _shown_by_exit(
    settings: Settings, task_id: str, frozen: Dict[str, Any], status: Dict[str, Any], exited: Exit
) -> Dict[str, Any]:
    """What is shown of a task that ended before its runner was killed."""
    ending = exited.ending or {}
    state = "success" if exited.status == 0 else "failed"
    known = dict(
        status,
        exit_code=shell_status(exited.status),
        signal=-exited.status if exited.status < 0 else None,
        ended_at=exited.ended_at,
    )
    if ending:
        state = str(ending.get("state")).replace("stopped", "failed")
    reason = ending.get("reason") or "its runner was killed after the command had ended"
    return _shown(settings, task_id, frozen, known, state, reason)


def _attach(status: Dict[str, Any]) -> Optional[str]:
    """The command that shows the live log; None if attaching is not possible."""
    tmux = status.get("tmux")
    if not isinstance(tmux, dict):
        return None
    target = "=%s:=%s" % (tmux.get("session"), tmux.get("window"))
    return "tmux -L %s attach -t %s" % (tmux.get("socket"), shlex.quote(target))
