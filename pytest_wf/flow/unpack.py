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
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.flow.announced import COMMIT_RECORD, PodFile, checked_files, hostile
from pytest_wf.pods.base import Stream
from pytest_wf.wire.files import BadJson, parse_json

__all__ = ["COMMIT_RECORD", "ArchiveReader", "PodFile", "Received", "checked_files", "hostile"]

_MAX_LINE_BYTES = 16 * 1024
_PIECE_BYTES = 1 << 20
_WRITEBACK_BYTES = 32 * 1024 * 1024
#: The agent frames what one piece of its file shrinks to.
_MAX_FRAME_BYTES = 2 * _PIECE_BYTES
#: A pod that sends nothing for so long, in mid-archive, is taken for lost.
_SILENCE_S = 120.0
_HEADER = {"run_id", "path", "size", "mode", "offset", "coding"}
#: No honest agent gives more signs of life than one for so many bytes.
_HASHED_EVERY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Received:
    """What came for an announced file."""

    sha256: str
    bytes: int
    #: False where the pod says that the file was not, or did not stay, as announced.
    whole: bool


class ArchiveReader:
    """Reads one archive stream. Raises LinkLost where it ends early."""

    def __init__(self, stream: Stream, on_bytes: Callable[[int], None]) -> None:
        self._stream = stream
        self._on_bytes = on_bytes
        self._held = b""
        self._at = 0
        self._tree = _Tree()

    def close(self) -> None:
        """Let go of the directory that was written to; the stream is the caller's."""
        self._tree.close()

    def receive(self, expected: PodFile, folder: Path, offset: int = 0) -> Received:
        """Write the next file of the stream below `folder`; it has to be `expected`.

        So many of its bytes as `offset` stand there already and were not asked for. Raises
        OperationFailed: 'hostile-answer', or 'digest' where bytes and trailer differ (with
        the fact ``resumed``; the file is then removed); OSError where the local disk refuses.
        """
        head = self._head(expected)
        size, mode, start = head.get("size"), head.get("mode"), head.get("offset", 0)
        if type(size) is not int or not 0 <= size <= expected.size or type(mode) is not int:
            raise hostile(
                f"{expected.path!r} was announced with {expected.size} bytes, not {size!r}"
            )
        if mode & ~0o7777:
            raise hostile(f"{expected.path!r} is no regular file: its mode is {mode:#o}")
        if type(start) is not int or start not in (0, offset) or start > size:
            raise hostile(f"it sends {expected.path!r} from byte {start!r} on")
        pieces = self._pieces(expected.path, head.get("coding", ""), size - start)
        executable = bool(mode & stat.S_IXUSR)
        with self._tree.open(folder, expected.path, executable, start) as f:
            digest = _prefix_digest(f, start)
            unwritten = 0
            for piece in pieces:
                _write(f, piece)
                digest.update(piece)
                self._on_bytes(len(piece))
                unwritten += len(piece)
                if unwritten >= _WRITEBACK_BYTES:
                    unwritten = 0
                    _start_writeback(f)
        tail = self._object()
        if tail.get("sha256") != digest.hexdigest():
            (folder / expected.path).unlink()
            raise OperationFailed(
                "digest",
                f"run {expected.run_id}: {expected.path} arrived with SHA-256 "
                f"{digest.hexdigest()}, the pod had read {tail.get('sha256')!r}.",
                "Fetch again; if it happens again, look at the disks on both sides.",
                {"run_id": expected.run_id, "path": expected.path, "resumed": start > 0},
            )
        is_whole = tail.get("whole") is True and size == expected.size
        return Received(digest.hexdigest(), size, is_whole)

    def finish(self, count: int) -> None:
        """The stream has to end here, after `count` files."""
        last = self._object()
        if last != {"end": count}:
            sent = f"{last.get('run_id')!r} {last.get('path')!r}"
            raise hostile(f"its archive goes on with {sent} after what was asked for")

    def _head(self, expected: PodFile) -> dict[str, Any]:
        head = self._object()
        for _ in range(expected.size // _HASHED_EVERY_BYTES):
            if set(head) != {"hashed"}:
                break
            head = self._object()
        if head.get("run_id") != expected.run_id or head.get("path") != expected.path:
            raise hostile(
                f"it sends {head.get('run_id')!r} {head.get('path')!r} where "
                f"{expected.run_id!r} {expected.path!r} was asked for"
            )
        more = sorted(map(str, set(head) - _HEADER))
        if more:
            raise hostile(f"{expected.path!r} is no plain file: it has {more[0]!r}")
        return head

    def _pieces(self, path: str, coding: object, size: int) -> Iterator[bytes | memoryview]:
        """The next `size` bytes of a file, as they come, or decompressed."""
        if coding == "":
            return self._taken(size)
        if coding == "zlib":
            return self._inflated(path, size)
        raise hostile(f"it sends {path!r} in the coding {coding!r}")

    def _taken(self, size: int) -> Iterator[memoryview]:
        while size:
            piece = self._take(min(size, _PIECE_BYTES))
            size -= len(piece)
            yield piece

    def _inflated(self, path: str, size: int) -> Iterator[bytes]:
        left = size
        # never more than one piece in memory, whatever the stream would grow to
        inflate = zlib.decompressobj()
        try:
            for frame in self._frames(path, size):
                data: bytes | memoryview = frame
                while data and not inflate.eof:
                    piece = inflate.decompress(data, min(left + 1, _PIECE_BYTES))
                    data = inflate.unconsumed_tail
                    left -= len(piece)
                    if left < 0:
                        raise hostile(f"{path!r} grows beyond its announced size")
                    yield piece
            while not inflate.eof and (piece := inflate.decompress(b"", left + 1)):
                left -= len(piece)
                if left < 0:
                    raise hostile(f"{path!r} grows beyond its announced size")
                yield piece
        except zlib.error as e:
            raise hostile(f"{path!r} is not compressed as it says: {e}") from None
        if left or not inflate.eof or inflate.unused_data:
            raise hostile(f"{path!r} is not compressed as it says: {left} bytes are missing")

    def _frames(self, path: str, size: int) -> Iterator[memoryview]:
        budget = size + _MAX_FRAME_BYTES
        while length := int.from_bytes(b"".join(self._taken(4)), "big"):
            budget -= length
            if length > _MAX_FRAME_BYTES or budget < 0:
                raise hostile(f"{path!r} is longer compressed than it is itself")
            yield from self._taken(length)

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


def _prefix_digest(f: BinaryIO, size: int) -> Any:
    """The digest over the first `size` bytes of `f`, which is left at that place."""
    digest = hashlib.sha256()
    f.seek(0)
    while size and (piece := f.read(min(size, _PIECE_BYTES))):
        digest.update(piece)
        size -= len(piece)
    return digest


def _write(f: BinaryIO, piece: bytes | memoryview) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[f.write(rest) :]


def _start_writeback(f: BinaryIO) -> None:
    """Let the disk begin now with what the sync at the end would wait for."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class _Tree:
    """Makes files below a folder, and keeps the last directory open for the next one."""

    def __init__(self) -> None:
        self._at: int | None = None
        self._where: tuple[Path, str] | None = None

    def open(self, folder: Path, path: str, executable: bool, start: int) -> BinaryIO:
        """The file `path` below `folder`: new, or cut at `start` where the rest is to come.

        What else stands there is removed first.
        """
        parent, _, name = path.rpartition("/")
        at = self._at
        if at is None or self._where != (folder, parent):
            self.close()
            at = self._at = _directory(folder, parent)
            self._where = (folder, parent)
        if start:
            fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW, dir_fd=at)
            os.truncate(fd, start)
        else:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            mode = 0o755 if executable else 0o644
            try:
                fd = os.open(name, flags, mode, dir_fd=at)
            except FileExistsError:
                os.unlink(name, dir_fd=at)
                fd = os.open(name, flags, mode, dir_fd=at)
        return os.fdopen(fd, "r+b", buffering=0)

    def close(self) -> None:
        if self._at is not None:
            os.close(self._at)
            self._at = self._where = None


def _directory(folder: Path, path: str) -> int:
    """An open directory below `folder`, made where it is not there; no link is followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    at = os.open(folder, flags)
    for part in path.split("/") if path else ():
        try:
            try:
                below = os.open(part, flags, dir_fd=at)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=at)
                below = os.open(part, flags, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at
