"""One file from the controller: its bytes on stdin, verified, then renamed."""

import hashlib
import os
import sys
from typing import Any, BinaryIO, Dict, List

from pytest_wf.wire.files import canonical_json, sync_dir

_PIECE_BYTES = 1 << 20


def receive_main(argv: List[str], stdin: BinaryIO) -> int:
    """``python -I <zipapp> receive <path> <size> <sha256>``: 0 when the file is in place."""
    if len(argv) != 3 or not argv[1].isdigit():
        print("receive takes a path, a size and a digest", file=sys.stderr)
        return 2
    answer = receive(stdin, argv[0], int(argv[1]), argv[2])
    sys.stdout.buffer.write(canonical_json(answer) + b"\n")
    sys.stdout.buffer.flush()
    return 0 if answer["ok"] else 1


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
                    piece = stdin.read(min(left, _PIECE_BYTES))
                    if not piece:
                        return _refused("%d of %d bytes were not received" % (left, size))
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


def _refused(why: str) -> Dict[str, Any]:
    return {"ok": False, "error": why}
