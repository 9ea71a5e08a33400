"""The child process of a detached operation: performs it and stores its answer."""

import contextlib
import io
import json
import os
from typing import BinaryIO, List

from pytest_wf.agent import process
from pytest_wf.agent.control import journal, locks
from pytest_wf.agent.control.request import Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.server.operations import OPERATIONS
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.wire.files import write_json


def run_child(raw: bytes) -> None:
    """Perform the operation that `raw` describes, and store its answer."""
    asked = json.loads(raw.decode("utf-8"))
    settings = Settings.read(asked["env_path"])
    id = str(asked["id"])
    where = journal.folder(settings, id)
    # the starter holds it until pid.json is written; if that names another process, our starter was
    # killed in between, and the other process does the work
    with locks.locked(journal.lock_path(settings, id)):
        known = journal.known_process(where)
    if known is None or known["identity"] != process.identity(os.getpid()):
        return
    run = OPERATIONS[asked["op"]]
    session = Session(settings, id, asked["token"], lambda body: None)
    log = StepLog(os.path.join(where, "log"))
    with locks.locked(os.path.join(settings.operations, "work.lock")):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            stored = journal.outcome(lambda: run(session, asked["args"]))
        log.write(errors.getvalue())
    if not stored["ok"]:
        log.write("%s: %s\n" % (stored["error"]["kind"], stored["error"]["message"]))
    with locks.locked(journal.lock_path(settings, id)):
        if journal.answer(where) is None:
            write_json(os.path.join(where, "answer.json"), stored, 0o600)


def operation_main(_words: List[str], stdin: BinaryIO) -> int:
    """``operation``: what to do comes on stdin."""
    run_child(stdin.read())
    return 0
