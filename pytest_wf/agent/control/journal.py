"""The journal of changing requests: one directory per id, so that nothing is done twice.

``request.json`` holds the request, ``answer.json`` its answer, ``log`` the output of its steps,
``pid.json`` the process that works on it. A repeated id gets the stored answer.
"""

import errno
import os
import shutil
import sys
import time
from typing import Any, Callable, Dict, List, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import clock, control_files, disk_reserve, locks
from pytest_wf.agent.control.request import Args, Result
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.files import BadJson, canonical_json, read_json, sha256_bytes, write_json
from pytest_wf.wire.ids import ID_PATTERN
from pytest_wf.wire.messages import Refusal

#: How many ended requests are remembered.
KEPT = 50
_LOOK_AT_IT = "Look at it on the pod, then run the same again."
_FILE_SYSTEM = "Look at the file system there and its mount, then run the same again."
_LIMIT = "Raise the limit of open files there (`ulimit -n`), then run the same again."
_OF_FILES = {
    errno.EIO: ("pod-disk", _FILE_SYSTEM),
    errno.ESTALE: ("pod-disk", _FILE_SYSTEM),
    errno.EMFILE: ("remote-failed", _LIMIT),
    errno.ENFILE: ("remote-failed", _LIMIT),
}
_AGAIN = "Whether it was done is unknown; run the same command again."


def folder(settings: Settings, id: str) -> str:
    """The directory of request `id`. Raises Refusal for an id that cannot name one."""
    if ID_PATTERN.fullmatch(id) is None:
        raise Refusal("agent-broken", "%r is not a request id" % id)
    return os.path.join(settings.operations, id)


def answer(where: str) -> Optional[Dict[str, Any]]:
    """The stored answer: ``{"ok": true, "result"}`` or ``{"ok": false, "error"}``, or None."""
    path = os.path.join(where, "answer.json")
    stored = control_files.read(path, remedy=_AGAIN)
    if stored is not None and type(stored.get("ok")) is not bool:
        raise control_files.Damaged(path, "it holds no answer", _AGAIN)
    return stored


def result_of(stored: Dict[str, Any]) -> Result:
    """The result in a stored answer; a stored refusal is raised."""
    if stored["ok"]:
        result: Result = stored["result"]
        return result
    error = stored["error"]
    raise Refusal(error["kind"], error["message"], error["remedy"], error["facts"])


def begin(settings: Settings, id: str, op: str, args: Args) -> str:
    """Make the directory of request `id`, or find it again; the caller holds its lock.

    Arguments may be large: only their digest is written, and nothing of secrets. Raises
    Refusal if the id was used for something else.
    """
    where = folder(settings, id)
    told = {key: value for key, value in args.items() if key != "secrets"}
    asked = {"op": op, "args_sha256": sha256_bytes(canonical_json(told))}
    path = os.path.join(where, "request.json")
    before = control_files.read(path, remedy=_AGAIN)
    if before is None:
        os.makedirs(where, mode=0o700, exist_ok=True)
        prune(settings, keep=id)
        write_json(path, dict(asked, at=clock.now()), 0o600)
        return where
    if {key: before.get(key) for key in asked} != asked:
        raise Refusal("agent-broken", "request id %s was used for another request" % id)
    return where


def lock_path(settings: Settings, id: str) -> str:
    """Path of the lock that the worker on request `id` holds; it outlives the directory."""
    folder(settings, id)
    return os.path.join(settings.operations, id + ".lock")


def once(settings: Settings, id: str, op: str, args: Args, work: Callable[[], Result]) -> Result:
    """Do `work` for request `id`, or return its earlier answer."""
    with locks.locked(lock_path(settings, id)):
        where = begin(settings, id, op, args)
        stored = answer(where)
        if stored is None:
            stored = outcome(work)
            write_json(os.path.join(where, "answer.json"), stored, 0o600)
    return result_of(stored)


def outcome(work: Callable[[], Result]) -> Dict[str, Any]:
    """The outcome of `work`, as it is stored and sent; any exception becomes a refusal."""
    try:
        return {"ok": True, "result": work()}
    except Exception as e:  # noqa: BLE001 - the controller must learn of every error
        error = as_refusal(e)
    return {
        "ok": False,
        "error": {
            "kind": error.kind,
            "message": error.message,
            "remedy": error.remedy,
            "facts": error.facts,
        },
    }


def as_refusal(error: BaseException) -> Refusal:
    """Any exception as the refusal that the controller gets; a traceback goes to stderr."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, OSError) and (error.filename or error.errno in disk_reserve.FULL):
        return _refusal_of_file(error)
    import traceback  # needed only for errors

    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    return Refusal("remote-failed", "%s on the pod: %s" % (type(error).__name__, error))


def _refusal_of_file(error: OSError) -> Refusal:
    is_full = error.errno in disk_reserve.FULL
    kind, remedy = _OF_FILES.get(error.errno or 0, ("remote-failed", _LOOK_AT_IT))
    if is_full:
        kind, remedy = "pod-disk", "Free space or inodes there, or mount the volume writable."
    name = error.filename
    message = "the pod %s cannot %s %s: %s" % (
        os.uname().nodename,
        "write" if is_full else "use",
        os.fsdecode(name) if isinstance(name, (str, bytes)) else name or "a file",
        error.strerror,
    )
    return Refusal(kind, message, remedy)


def prune(settings: Settings, keep: str) -> None:
    """Forget the oldest ended requests beyond `KEPT`; one under way is never forgotten."""
    entries: List[str] = []
    for name in os.listdir(settings.operations):
        path = os.path.join(settings.operations, name)
        if name != keep and os.path.exists(os.path.join(path, "answer.json")):
            entries.append(path)
    entries.sort(key=os.path.getmtime, reverse=True)
    for path in entries[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
        try:
            os.unlink(path + ".lock")
        except OSError:
            pass


def known_process(where: str) -> Optional[Dict[str, Any]]:
    """``{"identity", "cookie"}`` of the process that works on a detached request, or None."""
    try:
        value = read_json(os.path.join(where, "pid.json"))
    except (OSError, BadJson):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("cookie"), str) else None


def operation_state(settings: Settings, id: str) -> Dict[str, Any]:
    """What is known of request `id`: running, done (with its answer) or unknown."""
    where = folder(settings, id)
    stored = answer(where)
    if stored is not None:
        return {"state": "done", "answer": stored}
    found = known_process(where)
    if found is not None and process.is_alive(found.get("identity") or {}):
        return {"state": "running"}
    if found is None and os.path.isdir(where):
        held = locks.try_lock(lock_path(settings, id))
        if held is None:
            return {"state": "running"}
        os.close(held)
    return {"state": "unknown"}


def wait_until(done: Callable[[], bool], timeout_s: float, pause_s: float = 0.05) -> bool:
    """Whether `done` came true within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True
