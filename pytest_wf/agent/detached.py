"""Operations that outlive the link: a child in a session of its own, and those who attend it."""

import contextlib
import io
import json
import os
import sys
from typing import Any, Dict, List

from pytest_wf.agent import control, journal, process
from pytest_wf.agent.session import Args, Result, Session
from pytest_wf.agent.settings import Settings
from pytest_wf.agent.steps import StepLog
from pytest_wf.wire.files import read_json, write_json
from pytest_wf.wire.messages import Refusal

_GRACE_S = 5.0


def attend(session: Session, op: str, args: Args) -> Result:
    """Start the child of this request, or find the one that is at work, and wait for its answer.

    A child that ended without an answer is a failure, and is remembered as one.
    """
    settings, id = session.settings, session.request_id
    with control.locked(journal.lock_path(settings, id)):
        where = journal.begin(settings, id, op, args)
        if journal.answer(where) is None and journal.known_process(where) is None:
            _start(session, where, op, args)
    log = os.path.join(where, "log")
    told = 0
    while True:
        alive = _is_at_work(where)
        # asked after the process: one that ends in between has written its answer
        stored = journal.answer(where)
        if stored is not None:
            return journal.result_of(stored)
        if not alive:
            return journal.result_of(_fallen(settings, id, where, op))
        size = os.path.getsize(log) if os.path.exists(log) else 0
        if size > told:
            told = size
            session.say({"log_op_id": id, "line": StepLog(log).last_line()})
        journal.wait_until(lambda: _has_ended(where), 0.5, 0.01)


def run_child(raw: bytes) -> None:
    """The child's own part: do the operation that stdin describes and store its answer."""
    asked = json.loads(raw.decode("utf-8"))
    settings = Settings.read(asked["env_path"])
    id = str(asked["id"])
    where = journal.folder(settings, id)
    # held by whoever started us until pid.json is written; if that names another, we are
    # the child of one who was killed in between, and another is at work
    with control.locked(journal.lock_path(settings, id)):
        known = journal.known_process(where)
    if known is None or known["identity"] != process.identity(os.getpid()):
        return
    from pytest_wf.agent.serve import OPERATIONS  # the table knows us, too

    operation = OPERATIONS[asked["op"]]
    session = Session(settings, id, asked["token"], lambda body: None)
    log = StepLog(os.path.join(where, "log"))
    with control.locked(os.path.join(settings.operations, "work.lock")):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            stored = journal.outcome(lambda: operation.run(session, asked["args"]))
        log.write(errors.getvalue())
    if not stored["ok"]:
        log.write("%s: %s\n" % (stored["error"]["kind"], stored["error"]["message"]))
    with control.locked(journal.lock_path(settings, id)):
        if journal.answer(where) is None:
            write_json(os.path.join(where, "answer.json"), stored, 0o600)


def cancel(session: Session, args: Args) -> Result:
    """End the processes of a detached request; it then answers 'interrupted'."""
    settings = session.settings
    id = str(args.get("id", ""))
    where = journal.folder(settings, id)
    with control.locked(journal.lock_path(settings, id)):
        known = journal.known_process(where)
        if known is None or journal.answer(where) is not None:
            return {"killed": False, "leftovers": []}
        left = process.kill_tree(known["cookie"], known["identity"], _GRACE_S)
        error = {"kind": "interrupted", "message": "cancelled", "remedy": "", "facts": {}}
        write_json(os.path.join(where, "answer.json"), {"ok": False, "error": error}, 0o600)
    return {"killed": True, "leftovers": left}


def _start(session: Session, where: str, op: str, args: Args) -> None:
    cookie = os.urandom(16).hex()
    asked = {
        "id": session.request_id,
        "op": op,
        "args": args,
        "token": session.token,
        "env_path": session.settings.env_path,
    }
    identity = process.spawn_session(
        process.agent_argv("operation"),
        log_path=os.path.join(where, "child.log"),
        stdin=json.dumps(asked).encode("utf-8"),
        env=process.cookie_env(cookie),
        cwd="/",
    )
    write_json(os.path.join(where, "pid.json"), {"identity": identity, "cookie": cookie}, 0o600)


def _is_at_work(where: str) -> bool:
    known = journal.known_process(where)
    return known is not None and process.is_alive(known["identity"])


def _has_ended(where: str) -> bool:
    """Whether there is an answer, or nobody left to give one."""
    return os.path.exists(os.path.join(where, "answer.json")) or not _is_at_work(where)


def _fallen(settings: Settings, id: str, where: str, op: str) -> Dict[str, Any]:
    with control.locked(journal.lock_path(settings, id)):
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


def operation_main(_words: List[str]) -> int:
    """``operation``: what to do comes on stdin."""
    run_child(sys.stdin.buffer.read())
    return 0
