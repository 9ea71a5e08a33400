"""Logs, read by byte offset: any poll may be lost, and none repeats or leaves out a byte."""

import base64
import os
import re
from typing import Any, Tuple

from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.results.listing import checked_id, checked_task_id, open_regular
from pytest_wf.wire.messages import Refusal

#: The most that one answer carries.
MAX_BYTES = 4 * 1024 * 1024
DEFAULT_BYTES = 64 * 1024

_OP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def log(session: Session, args: Args) -> Result:
    """Operation `log`: ``{run_id, attempt?} | {task_id} | {op_id}, offset, max_bytes``.

    Answers ``{data (base64), offset, size}``: `offset` is where `data` begins. A negative
    offset counts from the end. A run's log is its last attempt's unless `attempt` names
    one; the answer names it, so that a follower notices a new one.
    """
    root, path, attempt = _where(session, args)
    offset = _whole(args.get("offset", 0), "offset")
    limit = _whole(args.get("max_bytes", DEFAULT_BYTES), "max_bytes")
    limit = min(max(limit, 0), MAX_BYTES)
    try:
        fd = open_regular(root, path)
    except (OSError, ValueError) as e:
        raise Refusal(
            "no-such-run", "there is no log %s/%s: %s" % (root, path, e), "Has it begun?"
        ) from None
    with os.fdopen(fd, "rb") as f:
        size = os.fstat(fd).st_size
        offset = max(0, size + offset) if offset < 0 else min(offset, size)
        f.seek(offset)
        data = f.read(limit)
    return {
        "data": base64.b64encode(data).decode("ascii"),
        "offset": offset,
        "size": max(size, offset + len(data)),
        "attempt": attempt,
    }


def last_attempt(run_dir: str) -> int:
    """The number of the newest attempt in a run directory; 0 if there is none."""
    try:
        names = os.listdir(os.path.join(run_dir, "attempts"))
    except OSError:
        return 0
    return max((int(n) for n in names if n.isascii() and n.isdigit() and len(n) <= 9), default=0)


def _where(session: Session, args: Args) -> Tuple[str, str, int]:
    settings = session.settings
    if "op_id" in args:
        op_id = args["op_id"]
        if not isinstance(op_id, str) or _OP_ID.fullmatch(op_id) is None:
            raise Refusal("no-such-run", "not an operation's id: %r" % (op_id,))
        return os.path.join(settings.operations, op_id), "log", 0
    if "task_id" in args:
        return settings.task_dir(checked_task_id(args["task_id"])), "stdout.log", 0
    run_id = checked_id(args.get("run_id"))
    run_dir = settings.run_dir(run_id)
    attempt = args.get("attempt")
    if attempt is None:
        attempt = last_attempt(run_dir)
    elif _whole(attempt, "attempt") < 1:
        raise Refusal("no-such-run", "attempts are counted from 1, not %r" % (attempt,))
    # before the first attempt, or in a directory that came from elsewhere
    path = "attempts/%d/stdout.log" % attempt if attempt else "stdout.log"
    return run_dir, path, int(attempt)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal("no-such-run", "%s is not a whole number: %r" % (name, value))
    return value
