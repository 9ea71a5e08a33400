"""Extracts files from a pod's archive stream, without a general-purpose extractor.

The pod is not trusted. Names are checked before a byte is written. The
stream (`wire.packs`) must contain exactly the requested files, in the order of the
request. Files are created below an open directory, and no link on the way is followed.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.evidence.fetch_record import shown
from pytest_wf.fetch.announced_files import PodFile, hostile
from pytest_wf.fetch.tree_writer import TreeWriter, write_all
from pytest_wf.pods.base import Stream
from pytest_wf.wire import packs
from pytest_wf.wire.files import BadJson, parse_json
from pytest_wf.wire.safe_text import excerpt, readable

_PIECE_BYTES = 1 << 20
_WRITEBACK_BYTES = 32 * 1024 * 1024
#: The agent frames the compressed output of each piece of its file.
_MAX_FRAME_BYTES = 2 * _PIECE_BYTES
#: A pod that sends nothing for this long during an archive counts as lost.
_SILENCE_S = 120.0
_HEADER = {"run_id", "paths", "sizes", "modes", "offset", "coding"}
#: No correct agent sends more keepalives than one per this many bytes.
_HASHED_EVERY_BYTES = 64 * 1024 * 1024


class Received(NamedTuple):
    """The result for an announced file."""

    sha256: str
    bytes: int
    #: What is wrong with the file, by the pod; '' for a file that stayed as announced.
    problem: str = ""


class _Pack(NamedTuple):
    """A header whose files are those that were requested."""

    #: Each file with its size and mode.
    files: Sequence[tuple[PodFile, int, int]]
    offset: int
    coding: str


class ArchiveReader:
    """Reads one archive stream. Raises LinkLost if it ends early."""

    def __init__(
        self, stream: Stream, on_bytes: Callable[[int], None], pod_folder: str = ""
    ) -> None:
        self._stream = stream
        self._on_bytes = on_bytes
        self._pod_folder = pod_folder
        self._held = b""
        self._at = 0
        self._tree = TreeWriter()

    def close(self) -> None:
        """Close the directory that was written to; the stream belongs to the caller."""
        self._tree.close()

    def receive(
        self, expected: Sequence[PodFile], folder: Path, begin: Callable[[PodFile], int]
    ) -> Iterator[list[tuple[PodFile, Received]]]:
        """Write the next files of the stream below `folder`; they must be `expected`, all
        of one run. Yields them as they arrive, one pack at a time.

        `begin` is called for a file that comes in pieces, and returns how many of its bytes
        are already here and were not requested. Raises OperationFailed: 'hostile-answer',
        or 'digest' if bytes and trailer differ (with the fact ``resumed``; the file is then
        removed); OSError if the local disk refuses.
        """
        at = 0
        while at < len(expected):
            pack = self._head(expected, at)
            at += len(pack.files)
            first = pack.files[0][0]
            if len(pack.files) == 1 and (pack.coding or first.size >= packs.SMALL_BYTES):
                yield [(first, self._one(pack, folder, begin(first)))]
            else:
                yield self._several(pack, folder)

    def finish(self, count: int) -> None:
        """Check that the stream ends here, after `count` files."""
        last = self._object()
        if last != {"end": count}:
            sent = f"{last.get('run_id')!r:.200} {last.get('paths')!r:.1000}"
            raise hostile(f"its archive continues with {sent} after the requested files")

    def _head(self, expected: Sequence[PodFile], at: int) -> _Pack:
        head = self._object()
        for _ in range(expected[at].size // _HASHED_EVERY_BYTES):
            if set(head) != {"hashed"}:
                break
            head = self._object()
        paths = head.get("paths")
        if not isinstance(paths, list) or not paths:
            paths = [None]
        asked = expected[at : at + len(paths)]
        run_path = self._pod_folder + asked[0].run_id
        if head.get("run_id") != run_path or paths != [f.path for f in asked]:
            wanted = next((f.path for f, p in zip(asked, paths, strict=False) if f.path != p), "")
            raise hostile(
                f"it sends {head.get('run_id')!r:.200} {paths!r:.1000} where "
                f"{run_path!r} {wanted or asked[0].path!r} was asked for"
            )
        more = sorted(map(str, set(head) - _HEADER))
        if more:
            raise hostile(f"{paths[0]!r} is not a plain file: it has {more[0]!r}")
        told = list(_each(asked, head.get("sizes"), head.get("modes")))
        for file, size, mode in told:
            if type(size) is not int or not 0 <= size <= file.size:
                raise hostile(f"{file.path!r} was announced with {file.size} bytes, not {size!r}")
            if type(mode) is not int or mode & ~0o7777:
                raise hostile(f"{file.path!r} is not a regular file: its mode is {mode!r}")
        offset, coding = head.get("offset", 0), head.get("coding", "")
        if coding not in ("", "zlib"):
            raise hostile(f"it sends {paths[0]!r} in the coding {coding!r}")
        if type(offset) is not int or offset < 0:
            raise hostile(f"it sends {paths[0]!r} from byte {offset!r} on")
        return _Pack(told, offset, coding)

    def _tail(self, files: Sequence[PodFile]) -> list[tuple[object, object]]:
        tail = self._object()
        told = _each(files, tail.get("sha256"), tail.get("problems"))
        return [(sha256, problem) for _, sha256, problem in told]

    def _several(self, pack: _Pack, folder: Path) -> list[tuple[PodFile, Received]]:
        """Read a pack of small files: verified in memory, then written."""
        first, size = pack.files[0][0].path, sum(size for _, size, _ in pack.files)
        if pack.offset or pack.coding:
            raise hostile(f"it sends {first!r} from byte {pack.offset} on, or coded, among others")
        if size > packs.MAX_LINE_BYTES:
            raise hostile(f"it sends {first!r} and others in a pack of {size} bytes")
        data = self._taken_whole(size)
        received = []
        end = 0
        digests = self._tail([file for file, _, _ in pack.files])
        for (file, length, mode), (sha256, problem) in zip(pack.files, digests, strict=True):
            start, end = end, end + length
            digest = hashlib.sha256(data[start:end]).hexdigest()
            if digest != sha256:
                raise _not_the_digest(file, digest, sha256)
            self._tree.write(folder, file.path, mode, data[start:end])
            received.append((file, Received(digest, length, _problem(file, length, problem))))
        self._on_bytes(size)
        return received

    def _one(self, pack: _Pack, folder: Path, here: int) -> Received:
        """Read a file that comes in pieces; its first `here` bytes may be left out."""
        [(file, size, mode)], start = pack.files, pack.offset
        if start not in (0, here) or start > size:
            raise hostile(f"it sends {file.path!r} from byte {start!r} on")
        left = size - start
        pieces = self._inflated(file.path, left) if pack.coding else self._taken(left)
        fd = self._tree.open(folder, file.path, mode, start)
        try:
            digest = _prefix_digest(fd, start)
            unwritten = 0
            for piece in pieces:
                _write_or_skip(fd, piece)
                digest.update(piece)
                self._on_bytes(len(piece))
                unwritten += len(piece)
                if unwritten >= _WRITEBACK_BYTES:
                    unwritten = 0
                    _start_writeback(fd)
        finally:
            try:
                os.truncate(fd, os.lseek(fd, 0, os.SEEK_CUR))  # a hole at the end belongs to it
            finally:
                os.close(fd)
        [(sha256, problem)] = self._tail([file])
        if sha256 != digest.hexdigest():
            self._tree.remove(folder, file.path)
            raise _not_the_digest(file, digest.hexdigest(), sha256, resumed=start > 0)
        return Received(digest.hexdigest(), size, _problem(file, size, problem))

    def _taken_whole(self, size: int) -> memoryview:
        while len(self._held) - self._at < size:
            self._fill()
        self._at += size
        return memoryview(self._held)[self._at - size : self._at]

    def _taken(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes, as they arrive."""
        while size:
            if self._at == len(self._held):
                self._fill()
            piece = memoryview(self._held)[self._at : self._at + min(size, _PIECE_BYTES)]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def _inflated(self, path: str, size: int) -> Iterator[bytes]:
        """The next `size` bytes of a compressed file."""
        left = size
        # never more than one piece in memory, whatever the stream would expand to
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

    def _object(self) -> dict[str, Any]:
        searched = self._at
        while (end := self._held.find(b"\n", searched)) < 0:
            if len(self._held) - self._at > packs.MAX_LINE_BYTES:
                raise hostile("a line of its archive has no end")
            searched = len(self._held) - self._at
            self._fill()
        line, self._at = self._held[self._at : end], end + 1
        try:
            value = parse_json(line, packs.MAX_LINE_BYTES)
        except BadJson as e:
            raise hostile(f"a line of its archive is {e}") from None
        if not isinstance(value, dict):
            raise hostile("a line of its archive is not an object")
        return value

    def _fill(self) -> None:
        try:
            piece = self._stream.read(_PIECE_BYTES, _SILENCE_S)
        except TimeoutError as e:
            raise LinkLost(f"the pod sent nothing more in the middle of an archive: {e}") from None
        if not piece:
            said = excerpt(readable(self._stream.stderr_tail()))
            why = f": {said}" if said else ""
            raise LinkLost(f"the archive ended early{why}.", "Fetch again; what arrived is kept.")
        self._held, self._at = self._held[self._at :] + piece, 0


def _each(files: Sequence[PodFile], *columns: object) -> Iterator[tuple[Any, ...]]:
    """`files` with their entries in `columns`. Raises OperationFailed if entries are missing."""
    lists = [column for column in columns if isinstance(column, list)]
    if [len(column) for column in lists] != [len(files)] * len(columns):
        raise hostile(f"its archive has incomplete entries for {files[0].path!r} and others")
    return zip(files, *lists, strict=True)


def is_lasting(problem: str) -> bool:
    """Whether a file's problem will still exist at the next try."""
    return problem.startswith("cannot be read")


def _problem(file: PodFile, size: int, said: object) -> str:
    if said == "" and size == file.size:
        return ""
    return shown(said[:300]) if isinstance(said, str) and said else "changed while it was read"


def _not_the_digest(
    file: PodFile, digest: str, sha256: object, *, resumed: bool = False
) -> OperationFailed:
    return OperationFailed(
        "digest",
        f"run {file.run_id}: {file.path} arrived with SHA-256 {digest}, "
        f"the pod had read {sha256!r:.100}.",
        "Fetch again; if it happens again, look at the disks on both sides.",
        {"run_id": file.run_id, "path": file.path, "resumed": resumed},
    )


def _prefix_digest(fd: int, size: int) -> Any:
    """The digest of the first `size` bytes of a file, which is left at that offset."""
    digest = hashlib.sha256()
    os.lseek(fd, 0, os.SEEK_SET)
    while size and (piece := os.read(fd, min(size, _PIECE_BYTES))):
        digest.update(piece)
        size -= len(piece)
    return digest


def _write_or_skip(fd: int, piece: bytes | memoryview) -> None:
    """Write a piece of a file; zeros in a new file become holes."""
    if piece and not piece[0] and bytes(piece) == bytes(len(piece)):
        os.lseek(fd, len(piece), os.SEEK_CUR)
    else:
        write_all(fd, piece)


def _start_writeback(fd: int) -> None:
    """Make the kernel start writing what the sync at the end would wait for."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
