"""A single-threaded process that forks for its multi-threaded parent, and its pipe protocol."""

import os
import select
import struct
from typing import Callable, NamedTuple, Optional, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.process import Identity
from pytest_wf.wire.files import BadJson, canonical_json, parse_json

#: Seconds without an answer after which a helper is given up.
ANSWER_S = 30.0
_HEAD = struct.Struct(">Q")


class Asked(NamedTuple):
    """A program to start, as `forks.start` takes it."""

    words: Tuple[str, ...]
    log_path: str
    stdin: bytes
    cwd: Optional[str]
    cookie: str


class Client:
    """The parent's end of the pipes; for one thread at a time."""

    def __init__(self, asking: int, answers: int) -> None:
        self._asking = asking
        self._answers = answers

    def ask(self, asked: Asked) -> Optional[Identity]:
        """Have the helper fork; the identity of the new process, None if the helper did not answer.

        Without an answer the process may exist all the same. A second one is safe: each of the
        agent's programs begins only after it was recorded or holds a lock. Raises OSError.
        """
        body = dict(asked._asdict(), stdin=asked.stdin.decode("latin-1"))
        try:
            _send(self._asking, canonical_json(body))
            if not select.select([self._answers], [], [], ANSWER_S)[0]:
                return None
            answer = parse_json(_receive(self._answers) or b"")
        except (OSError, BadJson):
            return None
        if "errno" in answer:
            raise OSError(answer["errno"], answer["why"], asked.log_path)
        known: Identity = answer
        return known


def serve(asked: int, answers: int, fork: Callable[[Asked], int], then: Callable[[], None]) -> None:
    """Answer requests until the parent is gone, and call `then` after each."""
    while True:
        raw = _receive(asked)
        if raw is None:
            return
        body = parse_json(raw, len(raw))
        stdin = body.pop("stdin").encode("latin-1")
        words = tuple(body.pop("words"))
        try:
            answer = process.identity(fork(Asked(words=words, stdin=stdin, **body)))
        except OSError as e:
            answer = {"errno": e.errno, "why": e.strerror}
        _send(answers, canonical_json(answer))
        then()


def _send(fd: int, raw: bytes) -> None:
    left = memoryview(_HEAD.pack(len(raw)) + raw)
    while left:
        left = left[os.write(fd, left) :]


def _receive(fd: int) -> Optional[bytes]:
    """The next message; None if the other side is gone."""
    head = _read(fd, _HEAD.size)
    return None if head is None else _read(fd, _HEAD.unpack(head)[0])


def _read(fd: int, size: int) -> Optional[bytes]:
    held = b""
    while len(held) < size:
        piece = os.read(fd, min(1 << 20, size - len(held)))
        if not piece:
            return None
        held += piece
    return held
