"""Writes events.jsonl: the intent of each operation before it begins, and its outcome.

Each intent is on the disk before its side effect begins. If a flow is killed, or its
machine loses power, the last intent without an outcome shows what was running.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pytest_wf.errors import (
    AuthenticationError,
    HostKeyError,
    OperationFailed,
    Unreachable,
    WfError,
)
from pytest_wf.evidence.event_reader import event_line
from pytest_wf.evidence.records import Event
from pytest_wf.evidence.times import rfc3339
from pytest_wf.wire.files import BadJson, parse_json, sha256_bytes, sync_dir

_MAX_ERROR_CHARS = 500
#: Failures that leave the result open: a refusal and a missing answer have one kind there.
_OPEN_KINDS = frozenset(
    {"timeout", "link-lost", "agent-broken", "provider", "delete", "volume", "interrupted"}
)
_TAIL_BYTES = 64 * 1024 * 1024


class EventLog:
    """One flow's events. Thread-safe.

    The intent of an effect is flushed before the effect begins. Other lines are flushed with the
    next one that is, or with the next verdict, which counts them.

    Ctrl-C, a time limit or a full disk may interrupt an append. The next append reads the file,
    cuts off an incomplete line, and continues from there.
    """

    def __init__(self, path: Path, as_data: Callable[[BaseModel], dict[str, Any]]) -> None:
        self._path = path
        self._as_data = as_data
        self._lock = threading.RLock()
        self._fd: int | None = None
        #: Bytes, lines and the last line's digest; one name, so that they change at once.
        self._at: tuple[int, int, str | None] = (0, 0, None)
        self._is_settled = True
        self._is_flushed = True
        self._is_sealed = False
        #: The phase that is open.
        self.phase: str | None = None
        #: Why an event is missing; '' if none is. A flow with a missing event does not pass.
        self.trouble = ""

    def state(self) -> tuple[int, str | None]:
        """The number of lines in the file, and the digest of the last one."""
        with self._lock:
            try:
                self._settle()
            except OSError as e:
                self._note(e)
            return self._at[1:]

    @contextmanager
    def effect(
        self, op: str, facts: Mapping[str, Any] | None = None
    ) -> Iterator[MutableMapping[str, Any]]:
        """Write an intent now, and its outcome at the end of the context: see `EffectLog`."""
        if self._is_sealed:
            yield {}
            return
        try:
            with self._lock:
                intent = self._append("intent", op, None, None, facts or {})
                self.flush()
        except OSError as e:
            self._note(e)
            raise OperationFailed(
                "local-disk",
                f"'{op}' was not begun: {self._path} cannot be written: {e.strerror or e}.",
                "Make room, or point WF_FLOW_EVIDENCE_DIR elsewhere.",
            ) from None
        outcome: dict[str, Any] = {}
        try:
            yield outcome
        except BaseException as e:
            self.answer(intent, op, _status(e), {**outcome, **_said(e)})
            raise
        self.answer(intent, op, "ok", outcome)

    def begin(self, op: str, facts: Mapping[str, Any]) -> int:
        """Write an intent of the flow itself, whose `answer` comes later; 0 if it cannot be
        written, which is recorded."""
        try:
            return self._append("intent", op, None, None, facts)
        except OSError as e:
            self._note(e)
            return 0

    def answer(self, intent: int, op: str, status: str, facts: Mapping[str, Any]) -> None:
        """Write the outcome of `intent`. A failure is recorded and not raised."""
        if self._is_sealed or not intent:
            return
        try:
            self._append("outcome", op, intent, status, facts)
        except OSError as e:
            self._note(e)

    def flush(self) -> None:
        """Flush all lines to the disk. Raises OSError."""
        with self._lock:
            if self._fd is not None and not self._is_flushed:
                os.fsync(self._fd)
                self._is_flushed = True

    def seal(self) -> None:
        """Write nothing from now on: the summary contains the file's digest.

        Raises OSError if the last lines cannot be flushed.
        """
        with self._lock:
            self.flush()
            self._is_sealed = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _append(
        self, kind: str, op: str, of: int | None, status: str | None, facts: Mapping[str, Any]
    ) -> int:
        with self._lock:
            if self._is_sealed:
                return 0  # another thread was about to write when the flow closed its folder
            self._settle()
            size, count, head = self._at
            # not validated: pydantic swallows a signal inside it, and refuses the value
            event = Event.model_construct(
                seq=count + 1,
                time=rfc3339(datetime.now(timezone.utc)),
                kind=kind,
                op=op,
                phase=self.phase,
                of=of,
                status=status,
                facts=dict(facts),
                previous_sha256=head,
            )
            line = event_line(self._as_data(event))
            fd = self._opened()
            self._is_settled = False
            written = 0
            while written < len(line):
                written += os.write(fd, line[written:])
            self._is_flushed = False
            self._at = (size + len(line), event.seq, sha256_bytes(line))
            self._is_settled = True
            return event.seq

    def _opened(self) -> int:
        if self._fd is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self._path, flags, 0o644)
            sync_dir(str(self._path.parent))
        return self._fd

    def _settle(self) -> None:
        """After an interrupted append: read from the file what was written."""
        if self._is_settled or self._fd is None:
            return
        size, count, head = self._at
        added = os.pread(self._fd, _TAIL_BYTES, size)
        whole = added[: added.rfind(b"\n") + 1]
        os.ftruncate(self._fd, size + len(whole))
        self._is_flushed = False
        for line in whole.splitlines(keepends=True):
            count, head = _seq(line), sha256_bytes(line)
        self._at = (size + len(whole), count, head)
        self._is_settled = True

    def _note(self, error: OSError) -> None:
        self.trouble = self.trouble or f"{self._path.name}: {error.strerror or error}"


def _seq(line: bytes) -> int:
    try:
        return int(parse_json(line)["seq"])
    except (BadJson, KeyError, TypeError) as e:
        raise OSError(f"another process writes into it: {e}") from None


def _status(error: BaseException) -> str:
    """'failed' only if the error says that it was not done, or no request was made."""
    if isinstance(error, OperationFailed):
        return "unknown" if error.kind in _OPEN_KINDS else "failed"
    never_begun = isinstance(error, Unreachable | HostKeyError | AuthenticationError)
    return "failed" if never_begun else "unknown"


def _said(error: BaseException) -> dict[str, Any]:
    kind = error.kind if isinstance(error, OperationFailed) else type(error).__name__
    text = error.message if isinstance(error, WfError) else str(error)
    return {"error": kind, "text": text[:_MAX_ERROR_CHARS]}
