"""Bulk transfer on a channel of its own: files down with their digests, one file up.

Down: one JSON request line ``{settings, files: [{run_id, path, size, mtime_ns, offset}],
codings}``; per file a header line ``{run_id, path, size, mode, offset, coding}``, the bytes
from `offset` to `size` and a trailer line ``{sha256, whole}``; at the end ``{end: n}``.

- An `offset` is granted where the file is still the one of that `mtime_ns`; else it is 0 and
  the file comes from its start. The digest is of the whole file all the same; while the part
  that is not sent is read, lines ``{hashed: n}`` come before the header.
- The coding is '' for the bytes as they are, or, where the request's `codings` allow it and a
  sample shows that it pays, 'zlib': frames of a length (4 bytes, big-endian) and so many
  bytes of one zlib stream, the last one of length 0.
- `whole` is false for a file that is not, or did not stay, what the listing had announced.

Up: the bytes on stdin, verified, renamed.
"""

import hashlib
import os
import sys
import zlib
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Tuple

from pytest_wf.agent.listing import checked_id, mode_of, open_regular
from pytest_wf.agent.settings import Settings
from pytest_wf.wire.files import BadJson, canonical_json, parse_json, sync_dir
from pytest_wf.wire.messages import MAX_LINE_BYTES, Refusal

PIECE_BYTES = 1 << 20
#: A sign of life is given after so many bytes that are read and not sent.
HASHED_EVERY_BYTES = 256 * 1024 * 1024
#: Smaller files are sent as they are.
_MIN_DEFLATE_BYTES = 64 * 1024
_SAMPLE_BYTES = 16 * 1024
#: A sample that shrinks to less than this part of itself is worth the work.
_WORTH_IT = 0.6


class Wanted(NamedTuple):
    """A file that the controller asks for."""

    run_id: str
    path: str
    size: int
    #: As the listing had it; None where the request does not say.
    mtime_ns: Optional[int]
    #: So much of it is there already.
    offset: int


def archive_main(argv: List[str]) -> int:
    """``python -I <zipapp> archive``: 0 when the whole answer was written."""
    if argv:
        print("archive takes no arguments", file=sys.stderr)
        return 2
    # many small files go in few packets
    with open(sys.stdout.fileno(), "wb", buffering=PIECE_BYTES // 4, closefd=False) as stdout:
        return send(sys.stdin.buffer, stdout)


def receive_main(argv: List[str]) -> int:
    """``python -I <zipapp> receive <path> <size> <sha256>``: 0 when the file is in place."""
    if len(argv) != 3 or not argv[1].isdigit():
        print("receive takes a path, a size and a digest", file=sys.stderr)
        return 2
    answer = receive(sys.stdin.buffer, argv[0], int(argv[1]), argv[2])
    sys.stdout.buffer.write(canonical_json(answer) + b"\n")
    sys.stdout.buffer.flush()
    return 0 if answer["ok"] else 1


def send(stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Read the request from `stdin`, write the archive to `stdout`."""
    try:
        request = parse_json(stdin.readline(MAX_LINE_BYTES + 1), MAX_LINE_BYTES)
        settings = Settings(request["settings"])
        files = [_wanted(f) for f in request["files"]]
        deflate = "zlib" in request.get("codings", ())
        outputs = settings.outputs
    except (AttributeError, BadJson, Refusal, KeyError, TypeError, ValueError) as e:
        print("not a request for an archive: %s" % e, file=sys.stderr)
        return 2
    try:
        for wanted in files:
            _send_file(stdout, os.path.join(outputs, wanted.run_id), wanted, deflate)
        _line(stdout, {"end": len(files)})
        stdout.flush()
    except BrokenPipeError:
        # nobody reads any more; keep the interpreter from saying so once again at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def receive(stdin: BinaryIO, path: str, size: int, sha256: str) -> Dict[str, Any]:
    """Write exactly `size` bytes from `stdin` to `path`: whole and verified, or not at all."""
    part = "%s.%d.part" % (path, os.getpid())
    digest = hashlib.sha256()
    left = size
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, "wb") as f:
                while left:
                    piece = stdin.read(min(left, PIECE_BYTES))
                    if not piece:
                        return _refused("%d of %d bytes never came" % (left, size))
                    f.write(piece)
                    digest.update(piece)
                    left -= len(piece)
                f.flush()
                os.fsync(f.fileno())
            if stdin.read(1):
                return _refused("more than the announced %d bytes came" % size)
            if digest.hexdigest() != sha256:
                return _refused("the digest is %s, not %s" % (digest.hexdigest(), sha256))
            os.replace(part, path)
            sync_dir(os.path.dirname(os.path.abspath(path)))
        finally:
            if os.path.lexists(part):
                os.unlink(part)
    except OSError as e:
        return _refused(str(e))
    return {"ok": True, "path": path, "bytes": size, "sha256": sha256}


def _wanted(file: Dict[str, Any]) -> Wanted:
    mtime_ns = file.get("mtime_ns")
    return Wanted(
        checked_id(file["run_id"]),
        str(file["path"]),
        int(file["size"]),
        None if mtime_ns is None else int(mtime_ns),
        int(file.get("offset", 0)),
    )


def _send_file(stdout: BinaryIO, root: str, wanted: Wanted, deflate: bool) -> None:
    fd: Optional[int]
    try:
        fd = open_regular(root, wanted.path)
    except (OSError, ValueError):
        fd = None
    if fd is None:
        _head(stdout, wanted, 0, 0, 0, "")
        _line(stdout, {"sha256": hashlib.sha256().hexdigest(), "whole": False})
        return
    with os.fdopen(fd, "rb", buffering=0) as f:
        before = os.fstat(fd)
        is_same = wanted.mtime_ns in (None, before.st_mtime_ns)
        size = min(wanted.size, before.st_size)
        digest, offset = hashlib.sha256(), 0
        if is_same and wanted.mtime_ns is not None and 0 < wanted.offset <= size:
            digest, offset = _hashed(stdout, f, wanted.offset)
        left = size - offset
        piece, torn = _piece(f, left)
        coding = "zlib" if deflate and _is_worth_it(piece) else ""
        _head(stdout, wanted, size, mode_of(fd), offset, coding)
        frames = _Frames(stdout) if coding else None
        while left:
            digest.update(piece)
            if frames is None:
                stdout.write(piece)
            else:
                frames.write(piece)
            left -= len(piece)
            piece, failed = _piece(f, left)
            torn = torn or failed
        if frames is not None:
            frames.end()
        after = os.fstat(fd)
    as_announced = wanted.size == size == after.st_size
    stayed = is_same and before.st_mtime_ns == after.st_mtime_ns
    _line(stdout, {"sha256": digest.hexdigest(), "whole": as_announced and stayed and not torn})


def _hashed(stdout: BinaryIO, f: BinaryIO, offset: int) -> Tuple[Any, int]:
    """The digest over the first `offset` bytes of `f`, and how many that were: all, or none."""
    digest = hashlib.sha256()
    done = 0
    while done < offset:
        piece, torn = _piece(f, offset - done)
        if torn:
            f.seek(0)
            return hashlib.sha256(), 0
        digest.update(piece)
        if (done + len(piece)) // HASHED_EVERY_BYTES > done // HASHED_EVERY_BYTES:
            _line(stdout, {"hashed": done + len(piece)})
            stdout.flush()
        done += len(piece)
    return digest, offset


def _piece(f: BinaryIO, left: int) -> Tuple[bytes, bool]:
    """The next bytes of `f`, at most `left`, and whether they had to be made up.

    A file that shrank, or cannot be read, is sent in its announced size all the same.
    """
    wanted = min(left, PIECE_BYTES)
    try:
        piece = f.read(wanted)
    except OSError:
        piece = b""
    return (piece, False) if piece or not left else (b"\0" * wanted, True)


def _is_worth_it(piece: bytes) -> bool:
    if len(piece) < _MIN_DEFLATE_BYTES:
        return False
    sample = piece[:_SAMPLE_BYTES]
    return len(zlib.compress(sample, 1)) < _WORTH_IT * len(sample)


class _Frames:
    """One zlib stream in frames. Level 1 keeps up with any link that it helps."""

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


def _head(stdout: BinaryIO, wanted: Wanted, size: int, mode: int, offset: int, coding: str) -> None:
    value = {"run_id": wanted.run_id, "path": wanted.path, "size": size, "mode": mode}
    _line(stdout, {**value, "offset": offset, "coding": coding})


def _line(stdout: BinaryIO, value: Dict[str, Any]) -> None:
    stdout.write(canonical_json(value) + b"\n")


def _refused(why: str) -> Dict[str, Any]:
    return {"ok": False, "error": why}
