"""Copies a run's or a task's log from the pod to a stream."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Mapping
from typing import Any, Protocol

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations import tasks
from pytest_wf.flow.operations.sweep import Sweep
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import ids, operations
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.states import PENDING, ROW_ENDED, RUNNING

_PIECE_BYTES = 1 << 20
#: Seconds that the pod may wait for news of a task before its log is read again.
_TASK_POLL_S = 1.0
_SEE = "See `wf sweep-status` and `wf task-list`."
_DECODER = codecs.getincrementaldecoder("utf-8")


class Out(Protocol):
    """The stream that a log is copied to."""

    def write(self, text: str, /) -> object:
        """Write a part of it."""

    def flush(self) -> None:
        """Flush what was written."""


def copy_log(
    session: PodSession, run_id: str, out: Out, *, follow: bool, tail: int | None = None
) -> int:
    """Copy the log of a run's last attempt to `out`; with `follow` until the run has ended.

    With `tail`, begin this many lines before the end, but at most a megabyte before it. If
    the run is retried in the meantime, the next attempt's log follows. An id that is not in the
    campaign may be a task's. Returns the number of bytes copied. Raises OperationFailed
    ('no-such-run'), and ('sweep-stalled') if nothing on the pod works on the row any more.
    """
    if not ids.is_id(run_id):
        raise OperationFailed("no-such-run", f"{run_id!r} is not a run id.", _SEE)
    sweep = Sweep(session)
    if sweep.row(run_id) is None and _is_task(session, run_id):
        return _copy_task_log(session, run_id, out, follow=follow, tail=tail)
    log = _Log(session, {"run_id": run_id}, out, tail)
    while True:
        row = sweep.row(run_id)
        # read before the log, so that everything written until then is copied
        ended = not follow or row is None or row.state in ROW_ENDED
        try:
            log.read_on()
        except OperationFailed as e:
            if e.kind != "no-such-run":
                raise
            if ended:
                raise _no_log(run_id, row) from None
        if ended:
            return log.copied
        sweep.wait_for_news(run_id)


def _is_task(session: PodSession, task_id: str) -> bool:
    try:
        session.request(operations.TASK_STATUS, {"id": task_id})
    except OperationFailed as e:
        if e.kind != "no-such-task":
            raise
        return False
    return True


def _copy_task_log(
    session: PodSession, task_id: str, out: Out, *, follow: bool, tail: int | None
) -> int:
    log = _Log(session, {"task_id": task_id}, out, tail)
    seen = None
    while True:
        # read before the log, so that everything written until then is copied
        task = tasks.look(session, task_id, seen, _TASK_POLL_S)
        log.read_on()
        if not follow or task["state"] not in (PENDING, RUNNING):
            return log.copied
        seen = task["seen"]


class _Log:
    """Continues to read a log, attempt after attempt."""

    def __init__(
        self, session: PodSession, whose: Mapping[str, str], out: Out, tail: int | None
    ) -> None:
        self._session = session
        self._whose = whose
        self._out = out
        #: Number of existing lines to show; None for all.
        self._tail = tail
        self._attempt: int | None = None
        self._offset = 0
        self._decoder = _DECODER("replace")
        self.copied = 0

    def read_on(self) -> None:
        """Copy what was written since. Raises OperationFailed('no-such-run') if there is no log."""
        while True:
            piece = self._ask(self._attempt, self._offset, _PIECE_BYTES)
            if piece["attempt"] != self._attempt:
                self._begin(int(piece["attempt"]))
                continue
            data = base64.b64decode(piece["data"])
            if data:
                self._out.write(self._decoder.decode(data))
                self._out.flush()
                self._offset = int(piece["offset"]) + len(data)
                self.copied += len(data)
                continue
            newest = int(self._ask(None, 0, 0)["attempt"])
            if newest == self._attempt:
                return
            self._begin(newest)

    def _begin(self, attempt: int) -> None:
        self._attempt = attempt
        self._offset = self._first_offset(attempt)
        self._tail = None
        self._decoder = _DECODER("replace")

    def _first_offset(self, attempt: int) -> int:
        if self._tail is None:
            return 0
        piece = self._ask(attempt, -_PIECE_BYTES, _PIECE_BYTES)
        data = base64.b64decode(piece["data"])
        shown = data.splitlines(keepends=True)[-self._tail :]
        return int(piece["offset"]) + len(data) - sum(map(len, shown))

    def _ask(self, attempt: int | None, offset: int, max_bytes: int) -> dict[str, Any]:
        args: dict[str, Any] = {**self._whose, "offset": offset, "max_bytes": max_bytes}
        if attempt:
            args["attempt"] = attempt
        return self._session.request(operations.LOG, args)


def _no_log(run_id: str, row: RowStatus | None) -> OperationFailed:
    if row is None:
        why = f"neither the campaign nor a directory on the pod has a run {run_id!r}."
    else:
        why = f"run {run_id} has no log: it is {row.state}."
    return OperationFailed("no-such-run", why, _SEE)
