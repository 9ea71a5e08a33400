"""Operations that outlive the link: a child in its own session, and the requests waiting for it."""

import json
import os
from typing import Any, Dict, List

from pytest_wf.agent import forks, process
from pytest_wf.agent.control import journal, locks
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results import logs
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.wire.files import read_json, write_json
from pytest_wf.wire.messages import Refusal

_GRACE_S = 5.0
#: The most of an operation's log that its answer carries.
_LOG_BYTES = 1 << 18


def attend(session: Session, op: str, args: Args) -> Result:
    """Start the child of this request, or find the one that runs, and wait for its answer.

    A child that ended without an answer is a failure, and is remembered as one.
    """
    settings, id = session.settings, session.request_id
    with locks.locked(journal.lock_path(settings, id)):
        where = journal.begin(settings, id, op, args)
        if journal.answer(where) is None and journal.known_process(where) is None:
            _end_earlier(session)
            _start(session, where, op, args)
    log = os.path.join(where, "log")
    told = 0
    while True:
        alive = _is_at_work(where)
        # checked after the process: one that ends in between has written its answer
        stored = journal.answer(where)
        if stored is not None:
            return _with_log(session, journal.result_of(stored))
        if not alive:
            return journal.result_of(_fallen(settings, id, where, op))
        size = os.path.getsize(log) if os.path.exists(log) else 0
        if size > told:
            told = size
            session.say({"log_op_id": id, "line": StepLog(log).last_line()})
        journal.wait_until(lambda: _has_ended(where), 0.5, 0.01)


def _with_log(session: Session, result: Result) -> Result:
    """The result with the first part of its log, as `log` answers it, if the result names one."""
    if "log_op_id" not in result:
        return result
    asked = {"op_id": result["log_op_id"], "max_bytes": _LOG_BYTES}
    try:
        return dict(result, log=logs.log(session, asked))
    except Refusal:  # none of its commands printed anything
        return dict(result, log={"data": "", "offset": 0, "size": 0})


def cancel(session: Session, args: Args) -> Result:
    """End the processes of a detached request; it then answers 'interrupted'."""
    settings = session.settings
    id = str(args.get("id", ""))
    where = journal.folder(settings, id)
    with locks.locked(journal.lock_path(settings, id)):
        if not _is_open(where):
            return {"killed": False, "leftovers": []}
        left = _end(where, "interrupted", "cancelled")
    return {"killed": True, "leftovers": left}


def _end_earlier(session: Session) -> None:
    """End what an earlier holder of the lease began and left: its controller was killed.

    Nobody waits for it, and it would keep this request waiting.
    """
    settings = session.settings
    for id in os.listdir(settings.operations):
        where = os.path.join(settings.operations, id)
        token = (journal.known_process(where) or {}).get("token")
        if session.token is None or not isinstance(token, int) or token >= session.token:
            continue
        with locks.locked(journal.lock_path(settings, id)):
            if _is_open(where):
                _end(where, "lease-lost", "another controller has taken the pod")


def _is_open(where: str) -> bool:
    is_answered = os.path.exists(os.path.join(where, "answer.json"))
    return journal.known_process(where) is not None and not is_answered


def _end(where: str, kind: str, message: str) -> List[int]:
    """End the processes of a request, which answers so from now on; pids that could not be."""
    known = journal.known_process(where)
    assert known is not None
    left = process.kill_tree(known["cookie"], known["identity"], _GRACE_S)
    error = {"kind": kind, "message": message, "remedy": "", "facts": {}}
    write_json(os.path.join(where, "answer.json"), {"ok": False, "error": error}, 0o600)
    return left


def _start(session: Session, where: str, op: str, args: Args) -> None:
    cookie = os.urandom(16).hex()
    asked = {
        "id": session.request_id,
        "op": op,
        "args": args,
        "token": session.token,
        "env_path": session.settings.env_path,
    }
    identity = forks.start(
        ("operation",),
        log_path=os.path.join(where, "child.log"),
        stdin=json.dumps(asked).encode("utf-8"),
        cwd="/",
        cookie=cookie,
    )
    body = {"identity": identity, "cookie": cookie, "token": session.token}
    write_json(os.path.join(where, "pid.json"), body, 0o600)


def _is_at_work(where: str) -> bool:
    known = journal.known_process(where)
    return known is not None and process.is_alive(known["identity"])


def _has_ended(where: str) -> bool:
    """Whether there is an answer, or no process left to give one."""
    return os.path.exists(os.path.join(where, "answer.json")) or not _is_at_work(where)


def _fallen(settings: Settings, id: str, where: str, op: str) -> Dict[str, Any]:
    with locks.locked(journal.lock_path(settings, id)):
        stored = journal.answer(where)
        if stored is not None:
            return stored
        known = read_json(os.path.join(where, "pid.json"))
        left = process.kill_tree(known["cookie"], known["identity"], _GRACE_S)
        tail = StepLog(os.path.join(where, "log")).tail(10)
        tail += StepLog(os.path.join(where, "child.log")).tail(10)
        error = Refusal(
            "remote-failed",
            "'%s' ended on the pod without an answer: it was killed, or the pod restarted" % op,
            "Run it again.",
            {"log_tail": tail, "leftovers": left},
        )
        stored = journal.outcome(lambda: _raise(error))
        write_json(os.path.join(where, "answer.json"), stored, 0o600)
        return stored


def _raise(error: Refusal) -> Result:
    raise error
