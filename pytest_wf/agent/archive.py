"""Bulk transfer on a channel of its own: files down with their digests, one file up.

Down: one JSON request line ``{settings, files: [{run_id, path, size}]}``; per file a header
line ``{run_id, path, size, mode}``, exactly `size` bytes and a trailer line
``{sha256, whole}``; at the end ``{end: n}``. `whole` is false for a file that is not, or
did not stay, what the listing had announced. Up: the bytes on stdin, verified, renamed.
"""

import hashlib
import os
import sys
from typing import Any, BinaryIO, Dict, List, Optional

from pytest_wf.agent.listing import checked_id, mode_of, open_regular
from pytest_wf.agent.settings import Settings
from pytest_wf.wire.files import BadJson, canonical_json, parse_json, sync_dir
from pytest_wf.wire.messages import MAX_LINE_BYTES, Refusal

PIECE_BYTES = 1 << 20


def archive_main(argv: List[str]) -> int:
    """``python -I <zipapp> archive``: 0 when the whole answer was written."""
    if argv:
        print("archive takes no arguments", file=sys.stderr)
        return 2
    return send(sys.stdin.buffer, sys.stdout.buffer)


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
        files = [
            (checked_id(f["run_id"]), str(f["path"]), int(f["size"])) for f in request["files"]
        ]
        outputs = settings.outputs
    except (BadJson, Refusal, KeyError, TypeError, ValueError) as e:
        print("not a request for an archive: %s" % e, file=sys.stderr)
        return 2
    try:
        for run_id, path, size in files:
            _send_file(stdout, os.path.join(outputs, run_id), run_id, path, size)
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


def _send_file(stdout: BinaryIO, root: str, run_id: str, path: str, announced: int) -> None:
    fd: Optional[int]
    try:
        fd = open_regular(root, path)
    except (OSError, ValueError):
        fd = None
    if fd is None:
        _line(stdout, {"run_id": run_id, "path": path, "size": 0, "mode": 0})
        _line(stdout, {"sha256": hashlib.sha256().hexdigest(), "whole": False})
        return
    with os.fdopen(fd, "rb") as f:
        before = os.fstat(fd)
        size = min(announced, before.st_size)
        _line(stdout, {"run_id": run_id, "path": path, "size": size, "mode": mode_of(fd)})
        digest = hashlib.sha256()
        left = size
        torn = False
        while left:
            try:
                piece = f.read(min(left, PIECE_BYTES))
            except OSError:
                piece = b""
            if not piece:
                # it shrank, or cannot be read: the announced size is sent all the same
                torn = True
                piece = b"\0" * min(left, PIECE_BYTES)
            digest.update(piece)
            stdout.write(piece)
            left -= len(piece)
        after = os.fstat(fd)
    as_announced = announced == size == after.st_size
    whole = as_announced and not torn and before.st_mtime_ns == after.st_mtime_ns
    _line(stdout, {"sha256": digest.hexdigest(), "whole": whole})


def _line(stdout: BinaryIO, value: Dict[str, Any]) -> None:
    stdout.write(canonical_json(value) + b"\n")


def _refused(why: str) -> Dict[str, Any]:
    return {"ok": False, "error": why}
