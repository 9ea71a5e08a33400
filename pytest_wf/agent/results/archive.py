"""The pod's end of a fetch: sends files with their digests, in the format of `wire.packs`."""

import hashlib
import os
import stat
import sys
import zlib
from typing import Any, BinaryIO, Dict, Iterable, List, NamedTuple, Tuple

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results.listing import Tree, checked_run_path
from pytest_wf.wire import packs
from pytest_wf.wire.files import BadJson, canonical_json, parse_json
from pytest_wf.wire.messages import MAX_LINE_BYTES, Refusal

PIECE_BYTES = 1 << 20
#: A keepalive is sent after so many bytes that were read and not sent.
HASHED_EVERY_BYTES = 256 * 1024 * 1024
_SAMPLE_BYTES = 16 * 1024
CHANGED = "changed while it was read"
#: A file is worth compressing if a sample shrinks to less than this part of itself.
_WORTH_IT = 0.6


class Wanted(NamedTuple):
    """A file that the controller asks for."""

    path: str
    #: As the listing had them.
    size: int
    mtime_ns: int
    #: The number of its bytes that the controller already has.
    offset: int


class Read(NamedTuple):
    """A small file as it was found."""

    path: str
    data: bytes
    mode: int
    #: What is wrong with it; '' for a file that is as listed.
    problem: str


def archive_main(argv: List[str], stdin: BinaryIO) -> int:
    """``python -I <zipapp> archive``: 0 when the whole answer was written."""
    if argv:
        print("archive takes no arguments", file=sys.stderr)
        return 2
    with open(sys.stdout.fileno(), "wb", buffering=PIECE_BYTES // 4, closefd=False) as stdout:
        return send(stdin, stdout)


def send(stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Read the request from `stdin`, write the archive to `stdout`."""
    line = stdin.readline(MAX_LINE_BYTES + 1)
    if not line:
        return 0  # the controller already had everything
    try:
        request = parse_json(line, MAX_LINE_BYTES)
        settings = Settings(request["settings"])
        runs = [(checked_run_path(path), _wanted(files)) for path, files in request["runs"]]
        deflate = "zlib" in request["codings"]
        outputs = settings.outputs
    except (AttributeError, BadJson, Refusal, KeyError, TypeError, ValueError) as e:
        print("not a request for an archive: %s" % e, file=sys.stderr)
        return 2
    try:
        for run_id, files in runs:
            sender = _Sender(stdout, outputs, run_id, deflate)
            sender.send(files)
        _line(stdout, {"end": sum(len(files) for _, files in runs)})
        stdout.flush()
    except BrokenPipeError:
        # the reader is gone; keep the interpreter from reporting that at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _wanted(files: Iterable[Any]) -> List[Wanted]:
    return [
        Wanted(str(path), int(size), int(mtime_ns), int(offset))
        for path, size, mtime_ns, offset in files
    ]


class _Sender:
    """Sends files of one run."""

    def __init__(self, stdout: BinaryIO, outputs: str, run_id: str, deflate: bool) -> None:
        self._stdout = stdout
        self._run_id = run_id
        self._deflate = deflate
        self._tree = Tree(os.path.join(outputs, run_id))
        self._pack: List[Read] = []
        self._weight = 0

    def send(self, files: List[Wanted]) -> None:
        """Send `files` in this order."""
        try:
            for wanted in files:
                if wanted.size < packs.SMALL_BYTES and not wanted.offset:
                    self._add(self._read(wanted))
                else:
                    self._send_pack()
                    self._send_alone(wanted)
            self._send_pack()
        finally:
            self._tree.close()

    def _read(self, wanted: Wanted) -> Read:
        try:
            fd, before = self._tree.open(wanted.path)
        except (OSError, ValueError) as e:
            return Read(wanted.path, b"", 0, _unreadable(e))
        try:
            data = os.read(fd, wanted.size)
            while len(data) < wanted.size and (more := os.read(fd, wanted.size - len(data))):
                data += more  # some network file systems read less than they could
            after = os.fstat(fd)
        except OSError as e:
            return Read(wanted.path, b"", 0, _unreadable(e))
        finally:
            os.close(fd)
        whole = (
            wanted.size == len(data) == after.st_size
            and wanted.mtime_ns == before.st_mtime_ns == after.st_mtime_ns
        )
        mode = stat.S_IMODE(before.st_mode)
        return Read(wanted.path, data, mode, "" if whole else CHANGED)

    def _add(self, file: Read) -> None:
        self._pack.append(file)
        self._weight += packs.weight(file.path, len(file.data))
        if self._weight >= packs.PACK_BYTES:
            self._send_pack()

    def _send_pack(self) -> None:
        files, self._pack, self._weight = self._pack, [], 0
        if not files:
            return
        self._head([f.path for f in files], [len(f.data) for f in files], [f.mode for f in files])
        self._stdout.write(b"".join([f.data for f in files]))
        self._tail([hashlib.sha256(f.data).hexdigest() for f in files], [f.problem for f in files])

    def _send_alone(self, wanted: Wanted) -> None:
        try:
            fd, before = self._tree.open(wanted.path)
        except (OSError, ValueError) as e:
            self._head([wanted.path], [0], [0])
            self._tail([hashlib.sha256().hexdigest()], [_unreadable(e)])
            return
        with open(fd, "rb", buffering=0) as f:
            is_same = wanted.mtime_ns == before.st_mtime_ns
            size = min(wanted.size, before.st_size)
            digest, offset = hashlib.sha256(), 0
            if is_same and 0 < wanted.offset <= size:
                digest, offset = _hashed(self._stdout, f, wanted.offset)
            left = size - offset
            piece, problem = _piece(f, left)
            shrinks = _is_sparse(before) or _is_worth_it(piece)
            coding = "zlib" if self._deflate and shrinks else ""
            self._head([wanted.path], [size], [stat.S_IMODE(before.st_mode)], offset, coding)
            frames = _Frames(self._stdout) if coding else None
            while left:
                digest.update(piece)
                if frames is None:
                    self._stdout.write(piece)
                else:
                    frames.write(piece)
                left -= len(piece)
                piece, failed = _piece(f, left)
                problem = problem or failed
            if frames is not None:
                frames.end()
            after = os.fstat(fd)
        as_announced = wanted.size == size == after.st_size
        stayed = is_same and before.st_mtime_ns == after.st_mtime_ns
        self._tail([digest.hexdigest()], [problem or ("" if as_announced and stayed else CHANGED)])

    def _head(
        self,
        paths: List[str],
        sizes: List[int],
        modes: List[int],
        offset: int = 0,
        coding: str = "",
    ) -> None:
        value = {"run_id": self._run_id, "paths": paths, "sizes": sizes, "modes": modes}
        _line(self._stdout, {**value, "offset": offset, "coding": coding})

    def _tail(self, sha256: List[str], problems: List[str]) -> None:
        _line(self._stdout, {"sha256": sha256, "problems": problems})


def _hashed(stdout: BinaryIO, f: BinaryIO, offset: int) -> Tuple[Any, int]:
    """The digest over the first `offset` bytes of `f`, and their number: all, or none."""
    digest = hashlib.sha256()
    done = 0
    while done < offset:
        piece, problem = _piece(f, offset - done)
        if problem:
            f.seek(0)
            return hashlib.sha256(), 0
        digest.update(piece)
        if (done + len(piece)) // HASHED_EVERY_BYTES > done // HASHED_EVERY_BYTES:
            _line(stdout, {"hashed": done + len(piece)})
            stdout.flush()
        done += len(piece)
    return digest, offset


def _piece(f: BinaryIO, left: int) -> Tuple[bytes, str]:
    """The next bytes of `f`, at most `left`, and why they are filler, if so.

    A file that shrank, or cannot be read, is still sent in its announced size.
    """
    wanted = min(left, PIECE_BYTES)
    problem = CHANGED
    try:
        piece = f.read(wanted)
    except OSError as e:
        piece, problem = b"", _unreadable(e)
    return (piece, "") if piece or not left else (b"\0" * wanted, problem)


def _unreadable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "removed before it was read"
    return "cannot be read: %s" % (getattr(error, "strerror", "") or error)


def _is_sparse(found: os.stat_result) -> bool:
    return found.st_blocks * 512 < _WORTH_IT * found.st_size


def _is_worth_it(piece: bytes) -> bool:
    if len(piece) < packs.SMALL_BYTES:
        return False
    sample = piece[:_SAMPLE_BYTES]
    return len(zlib.compress(sample, 1)) < _WORTH_IT * len(sample)


class _Frames:
    """One zlib stream in frames. Level 1 is fast enough for any link that gains from it."""

    def __init__(self, stdout: BinaryIO) -> None:
        self._stdout = stdout
        self._stream = zlib.compressobj(1)

    def write(self, piece: bytes) -> None:
        self._frame(self._stream.compress(piece))

    def end(self) -> None:
        self._frame(self._stream.flush())
        self._stdout.write(bytes(4))

    def _frame(self, data: bytes) -> None:
        if data:
            self._stdout.write(len(data).to_bytes(4, "big"))
            self._stdout.write(data)


def _line(stdout: BinaryIO, value: Dict[str, Any]) -> None:
    stdout.write(canonical_json(value) + b"\n")
