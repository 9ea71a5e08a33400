"""Operations of tracked tasks: a user's own commands, run on the pod under an id."""

import os
import shutil
import time
import uuid
from typing import Any, Dict, List

from pytest_wf.agent import forks, process
from pytest_wf.agent.control import clock, created_paths, journal, locks, state
from pytest_wf.agent.control.request import Args, Operation, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results.listing import checked_task_id
from pytest_wf.agent.run.child_process import shell_script
from pytest_wf.agent.sweep import launch
from pytest_wf.agent.tasks.task_dir import (
    SCHEMA,
    frozen_of,
    lock_path,
    objects,
    runner_lives,
    runner_of,
    status_of,
    task_ids,
)
from pytest_wf.wire import ids, operations
from pytest_wf.wire.files import canonical_json, sync_dir, write_atomic, write_json
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import NotOurs
from pytest_wf.wire.process import boot_id, is_argument
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.safe_text import excerpt
from pytest_wf.wire.states import TASK_ENDED

#: The longest that one poll waits for news, and its pause between two checks.
MAX_WAIT_S = 5.0
LOOK_S = 0.1
#: Seconds that stopping may take beyond the grace of the task.
STOP_S = 30.0

# a command line cannot be longer
_MAX_COMMAND_BYTES = 128 * 1024


def run(session: Session, args: Args) -> Result:
    """Operation `task-run`: ``{id, command, timeout_s?, workdir?, force?, secrets?}``.

    Answers the task's status once it has begun. Refusals: 'illegal-state', 'task-exists',
    'task-running', 'launch'.
    """
    settings = session.settings
    task_id = checked_task_id(args.get("id"))
    secrets = launch.secrets_of(args)
    created_paths.directory(settings, settings.tasks)
    with locks.locked(lock_path(settings)):
        folder = settings.task_dir(task_id)
        existing = frozen_of(folder)
        if existing is None or existing.get("request_id") != session.request_id:
            state.require(settings, "task-run")
            frozen = _freeze(session, task_id, args, secrets)
            if os.path.lexists(folder):
                _archive_existing(settings, task_id, force=args.get("force") is True)
            _create(settings, folder, frozen, str(args["command"]))
        # a repeat of this request, cut off before its answer, starts a runner only if none was
        # started
        if runner_of(folder) is None:
            _launch(folder, secrets)
    return status_of(settings, task_id)


def show(session: Session, args: Args) -> Result:
    """Operation `task-status`: ``{id, seen?, wait_s?}``.

    With `wait_s` the answer comes when its digest is no longer `seen`, or the time is up.
    """
    wait_s = args.get("wait_s") or 0
    if isinstance(wait_s, bool) or not isinstance(wait_s, (int, float)):
        raise Refusal("agent-broken", "wait_s is not a number of seconds")
    task_id = checked_task_id(args.get("id"))
    deadline = time.monotonic() + min(float(wait_s), MAX_WAIT_S)
    while True:
        body = status_of(session.settings, task_id)
        if body["seen"] != args.get("seen") or time.monotonic() + LOOK_S > deadline:
            return body
        time.sleep(LOOK_S)


def show_all(session: Session, _args: Args) -> Result:
    """Operation `task-list`: ``{tasks}``, oldest first."""
    settings = session.settings
    found = [status_of(settings, task_id) for task_id in task_ids(settings)]
    return {"tasks": sorted(found, key=lambda t: (str(t["created_at"] or ""), t["task_id"]))}


def stop(session: Session, args: Args) -> Result:
    """Operation `task-stop`: end every process of a task.

    ``{task_id, stopped, leftovers, state}``; `leftovers` are pids that could not be ended.
    If none of them runs, nothing is done.
    """
    return stop_task(session.settings, checked_task_id(args.get("id")))


def stop_task(settings: Settings, task_id: str) -> Result:
    """End every process of a task; what `stop` answers."""
    folder = settings.task_dir(task_id)
    before = status_of(settings, task_id)
    frozen = frozen_of(folder) or {}
    cookie, grace_s = str(frozen.get("cookie") or ""), float(frozen.get("grace_s") or 0)
    known = runner_of(folder) or {}
    leftovers: List[int] = []
    stopped = before["state"] not in TASK_ENDED and process.is_alive(known)
    if stopped:
        write_atomic(os.path.join(folder, "stop"), b"")
        journal.wait_until(lambda: not process.is_alive(known), grace_s + STOP_S)
        if process.is_alive(known):
            leftovers = process.kill_tree(cookie, known, 1.0)
    elif before["processes"]:
        stopped = True
        leftovers = process.kill_tree(cookie, None, grace_s)
    after = status_of(settings, task_id)
    leftovers = sorted({*leftovers, *(after["left"] if stopped else [])})
    return {
        "task_id": task_id,
        "stopped": stopped,
        "leftovers": leftovers,
        "state": after["state"],
        "exit_code": after["exit_code"],
        "reason": after["reason"],
    }


def _freeze(session: Session, task_id: str, args: Args, secrets: Dict[str, str]) -> Dict[str, Any]:
    """The content of ``task.json``, checked."""
    settings = session.settings
    if shutil.which("bash") is None:
        raise Refusal("launch", "the pod has no bash to run a task with", "Run `wf bootstrap`.")
    command = args.get("command")
    if not isinstance(command, str) or not command.strip() or not is_argument(command):
        raise Refusal("launch", "the command of task %s is empty or not text" % task_id)
    if len(command.encode("utf-8")) > _MAX_COMMAND_BYTES:
        raise Refusal(
            "launch",
            "the command of task %s is longer than %d bytes" % (task_id, _MAX_COMMAND_BYTES),
            "Put it into a script of the repository, and run that.",
        )
    if Redactor(secrets.values()).text(command) != command:
        raise Refusal(
            "launch",
            "the command of task %s has the value of a secret in it" % task_id,
            "Write $NAME instead: the command has the variables of WF_SECRET_ENV.",
        )
    timeout_s = args.get("timeout_s")
    if timeout_s is None:
        timeout_s = settings.int("TASK_TIMEOUT_SECS")
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int) or timeout_s < 0:
        raise Refusal("launch", "not a time-out in whole seconds: %r" % (timeout_s,))
    return {
        "schema": SCHEMA,
        "task_id": task_id,
        "request_id": session.request_id,
        "created_at": clock.now(),
        "workdir": _workdir(settings, args.get("workdir")),
        "timeout_s": timeout_s,
        "grace_s": settings.int("RUN_KILL_GRACE_SECS"),
        "linger_s": settings.int("RUN_LINGER_SECS"),
        "cookie": "task.%s.%s" % (task_id, uuid.uuid4().hex),
        "environment": _environment(settings, task_id),
        "tmux": {
            "socket": ids.tmux_socket(settings.outputs),
            "session": settings["WF_TMUX_SESSION"],
            "window": ids.tmux_window(task_id),
        },
    }


def _workdir(settings: Settings, asked: Any) -> str:
    """Where the command runs: below the repository, by default the repository itself."""
    if asked is not None and not isinstance(asked, str):
        raise Refusal("launch", "the working directory is not a path: %r" % (asked,))
    path = os.path.normpath(os.path.join(settings.repo, asked or ""))
    if not asked and not os.path.isdir(path):
        return settings.outputs  # before the first checkout
    if not is_argument(path) or not os.path.isdir(path):
        raise Refusal(
            "launch",
            "the pod has no directory %s" % path,
            "Name one that is there, or run `wf checkout`.",
            {"missing": [path]},
        )
    return path


def _environment(settings: Settings, task_id: str) -> Dict[str, str]:
    exported = {
        "TASK_ID": task_id,
        "OPS_REMOTE_REPO": settings.repo,
        "OPS_REMOTE_OUTPUTS_DIR": settings.outputs,
        "VENV_PYTHON": settings.venv_python,
        "PYTHONUNBUFFERED": "1",
    }
    for name in ("DATA_DIR", "HF_HOME", "CUDA_VISIBLE_DEVICES"):
        # an empty value means something else than an unset one
        if settings[name]:
            exported[name] = settings[name]
    return exported


def _create(settings: Settings, folder: str, frozen: Dict[str, Any], command: str) -> None:
    """Create the task's directory, as a whole or not at all."""
    new = os.path.join(settings.tasks, ".new")
    shutil.rmtree(new, ignore_errors=True)
    os.mkdir(new, 0o755)
    write_json(os.path.join(new, "task.json"), frozen)
    script = shell_script(frozen["workdir"], frozen["environment"], command)
    write_atomic(os.path.join(new, "command.sh"), script, 0o755)
    pending = dict.fromkeys(("exit_code", "started_at", "ended_at", "pid", "reason"))
    body = dict(pending, schema=SCHEMA, task_id=frozen["task_id"], state="pending")
    write_json(os.path.join(new, "status.json"), dict(body, boot_id=boot_id()))
    os.rename(new, folder)
    sync_dir(settings.tasks)


def _archive_existing(settings: Settings, task_id: str, force: bool) -> None:
    """Move a task of that id to the archive, if that is requested and none of its processes runs.

    Raises NotOurs if the directory holds no task.
    """
    if frozen_of(settings.task_dir(task_id)) is None:
        raise NotOurs(settings.task_dir(task_id), "Move it away, or use another id.")
    before = status_of(settings, task_id, locked=True)
    facts = {key: before[key] for key in ("task_id", "state", "created_at")}
    folder = settings.task_dir(task_id)
    if before["state"] not in TASK_ENDED and (runner_lives(folder) or before["processes"]):
        raise Refusal(
            "task-running",
            "task %s is running, since %s" % (task_id, before["started_at"]),
            "Wait for it with `wf task-wait --id %s`, or end it with `wf task-stop --id %s`."
            % (task_id, task_id),
            facts,
        )
    if not force:
        raise Refusal(
            "task-exists",
            "task %s already exists: %s, of %s" % (task_id, before["state"], before["created_at"]),
            "Use another id, or --force, which moves it to _tasks/_archive/.",
            facts,
        )
    archive = os.path.join(settings.tasks, "_archive")
    os.makedirs(archive, mode=0o755, exist_ok=True)
    stamp = clock.now().replace("-", "").replace(":", "")
    place = os.path.join(archive, "%s-%s" % (task_id, stamp))
    if os.path.lexists(place):
        place += "-" + uuid.uuid4().hex[:6]
    os.rename(folder, place)


def _launch(folder: str, secrets: Dict[str, str]) -> None:
    """Start the runner and record its identity, which lets it begin."""
    log = os.path.join(folder, "runner.log")
    known = forks.start(("task", folder), log_path=log, stdin=_spec(secrets), cwd="/")
    write_json(os.path.join(folder, "pid.json"), known, 0o600)

    def has_begun() -> bool:
        return _has_begun(folder) or not process.is_alive(known)

    journal.wait_until(has_begun, launch.LAUNCH_S, 0.01)
    if not _has_begun(folder):
        process.kill_tree("", known, 1.0)
        with open(log, "rb") as f:
            said = excerpt(f.read().decode("utf-8", "replace"))
        raise Refusal(
            "launch",
            "the runner of the task did not start: %s" % (said or "no output"),
            "Look at %s on the pod, then run it again with --force." % log,
        )


def _spec(secrets: Dict[str, str]) -> bytes:
    """The line that a runner reads; never written to a disk."""
    return canonical_json({"secrets": secrets}) + b"\n"


def _has_begun(folder: str) -> bool:
    return objects(folder)[0].get("state") != "pending"


OPERATIONS: Dict[str, Operation] = {
    operations.TASK_RUN: run,
    operations.TASK_STATUS: show,
    operations.TASK_LIST: show_all,
    operations.TASK_STOP: stop,
}
