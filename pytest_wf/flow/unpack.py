"""Our own extractor: an archive stream of the pod becomes files, and nothing else.

The pod is not trusted. Names come first and are checked before a byte is written; what the
stream then says has to be what was asked for, in the order in which it was asked; files are
made new, below an open directory, and no link on the way is followed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.pods.base import Stream
from pytest_wf.wire.files import BadJson, parse_json

__all__ = ["COMMIT_RECORD", "ArchiveReader", "PodFile", "Received", "checked_files", "hostile"]

#: Written last into a fetched run directory; a file of the pod may not have its name.
COMMIT_RECORD = "FETCHED.json"

_MAX_LINE_BYTES = 16 * 1024
_PIECE_BYTES = 1 << 20
#: A pod that sends nothing for so long, in mid-archive, is taken for lost.
_SILENCE_S = 120.0


@dataclass(frozen=True)
class PodFile:
    """A file that the pod announced."""

    run_id: str
    path: str
    size: int
    #: The pod's own stamp; only ever compared with an earlier one of the same pod.
    mtime_ns: int = 0


@dataclass(frozen=True)
class Received:
    """What came for an announced file."""

    sha256: str
    bytes: int
    #: False where the pod says that the file was not, or did not stay, as announced.
    whole: bool


def hostile(what: str) -> OperationFailed:
    """The error for an answer that no honest agent gives."""
    return OperationFailed(
        "hostile-answer",
        f"the pod's answer is not to be trusted: {what}.",
        "Nothing of it took a place here. Look at what writes to the outputs directory on the pod.",
    )


def checked_files(run_id: str, announced: object) -> list[PodFile]:
    """The files of one run as the pod announced them, every name checked.

    Raises OperationFailed('hostile-answer') naming the first bad entry.
    """
    if not isinstance(announced, list):
        raise hostile(f"the listing of run {run_id} is no list")
    files: list[PodFile] = []
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for entry in announced:
        file = _checked_entry(run_id, entry)
        # one tree on a file system that ignores case and normal form, too
        folded = _folded(file.path)
        if folded in seen:
            raise hostile(f"run {run_id} has {file.path!r} twice (as {seen[folded]!r})")
        seen[folded] = file.path
        parts = folded.split("/")
        for depth in range(1, len(parts)):
            folders["/".join(parts[:depth])] = file.path
        files.append(file)
    for folded, path in folders.items():
        if folded in seen:
            raise hostile(f"run {run_id} has {seen[folded]!r} as a file and in {path!r}")
    return files


def _checked_entry(run_id: str, entry: object) -> PodFile:
    if not isinstance(entry, dict):
        raise hostile(f"an entry of run {run_id}'s listing is no object")
    path, size, mtime = entry.get("path"), entry.get("size"), entry.get("mtime_ns", 0)
    problem = _problem_of(path)
    if problem or not isinstance(path, str):
        raise hostile(f"run {run_id} has a file named {path!r}: {problem}")
    if type(size) is not int or size < 0 or type(mtime) is not int:
        raise hostile(f"run {run_id}'s {path!r} has the size {size!r}")
    return PodFile(run_id, path, size, mtime)


def _problem_of(path: object) -> str:
    if not isinstance(path, str) or not path:
        return "no name"
    if path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        return "an absolute path"
    if not all(c.isprintable() for c in path):
        return "control characters"
    if "\\" in path:
        return "a backslash"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "not a plain relative path"
    if len(path.encode("utf-8")) > 1024 or any(len(p.encode("utf-8")) > 255 for p in parts):
        return "too long"
    if len(parts) > 33:
        return "too deep"
    if unicodedata.normalize("NFC", path) != path:
        return "not in Unicode's normal form C"
    if _folded(parts[0]) == COMMIT_RECORD.casefold():
        return "the name is the fetch's own record's"
    return ""


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())


class ArchiveReader:
    """Reads one archive stream. Raises LinkLost where it ends early."""

    def __init__(self, stream: Stream, on_bytes: Callable[[int], None]) -> None:
        self._stream = stream
        self._on_bytes = on_bytes
        self._held = b""
        self._at = 0

    def receive(self, expected: PodFile, folder: Path) -> Received:
        """Write the next file of the stream below `folder`; it has to be `expected`.

        Raises OperationFailed: 'hostile-answer', or 'digest' where bytes and trailer differ;
        OSError where the local disk refuses.
        """
        head = self._object()
        if head.get("run_id") != expected.run_id or head.get("path") != expected.path:
            raise hostile(
                f"it sends {head.get('run_id')!r} {head.get('path')!r} where "
                f"{expected.run_id!r} {expected.path!r} was asked for"
            )
        size, mode = head.get("size"), head.get("mode")
        if type(size) is not int or not 0 <= size <= expected.size or type(mode) is not int:
            raise hostile(
                f"{expected.path!r} was announced with {expected.size} bytes, not {size!r}"
            )
        digest = self._write(expected.path, size, folder, bool(mode & stat.S_IXUSR))
        tail = self._object()
        if tail.get("sha256") != digest:
            raise OperationFailed(
                "digest",
                f"run {expected.run_id}: {expected.path} arrived with SHA-256 {digest}, the pod "
                f"had read {tail.get('sha256')!r}.",
                "Fetch again; if it happens again, look at the disks on both sides.",
            )
        return Received(digest, size, tail.get("whole") is True and size == expected.size)

    def finish(self, count: int) -> None:
        """The stream has to end here, after `count` files."""
        if self._object() != {"end": count}:
            raise hostile("its archive does not end after the files that were asked for")

    def _write(self, path: str, size: int, folder: Path, executable: bool) -> str:
        fd = _create(folder, path, 0o755 if executable else 0o644)
        digest = hashlib.sha256()
        with os.fdopen(fd, "wb") as f:
            left = size
            while left:
                piece = self._take(min(left, _PIECE_BYTES))
                f.write(piece)
                digest.update(piece)
                left -= len(piece)
                self._on_bytes(len(piece))
        return digest.hexdigest()

    def _take(self, limit: int) -> memoryview:
        if self._at == len(self._held):
            self._fill()
        piece = memoryview(self._held)[self._at : self._at + limit]
        self._at += len(piece)
        return piece

    def _object(self) -> dict[str, Any]:
        while (end := self._held.find(b"\n", self._at)) < 0:
            if len(self._held) - self._at > _MAX_LINE_BYTES:
                raise hostile("a line of its archive has no end")
            self._fill()
        line, self._at = self._held[self._at : end], end + 1
        try:
            value = parse_json(line, _MAX_LINE_BYTES)
        except BadJson as e:
            raise hostile(f"a line of its archive is {e}") from None
        if not isinstance(value, dict):
            raise hostile("a line of its archive is no object")
        return value

    def _fill(self) -> None:
        try:
            piece = self._stream.read(_PIECE_BYTES, _SILENCE_S)
        except TimeoutError as e:
            raise LinkLost(f"the pod fell silent in the middle of an archive: {e}") from None
        if not piece:
            said = self._stream.stderr_tail().strip()
            why = f": {json.dumps(said[-300:], ensure_ascii=False)}" if said else ""
            raise LinkLost(f"the archive ended early{why}.", "Fetch again; what came is kept.")
        self._held, self._at = self._held[self._at :] + piece, 0


def _create(folder: Path, path: str, mode: int) -> int:
    """A new file below `folder`; a torso that stands there already is removed first."""
    *folders, name = path.split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in folders:
            at = _descend(at, part)
        try:
            os.unlink(name, dir_fd=at)
        except FileNotFoundError:
            pass
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=at)
    finally:
        os.close(at)


def _descend(at: int, part: str) -> int:
    try:
        os.mkdir(part, 0o755, dir_fd=at)
    except FileExistsError:
        pass
    below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    os.close(at)
    return below
