"""Reading the files that the user wrote."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pytest_wf.errors import InputError, Problem


def read_input(path: Path, origin: str, max_bytes: int, *, links: bool) -> bytes:
    """The bytes of a regular file, one more than `max_bytes` at most. Raises InputError."""

    def refuse(reason: str, remedy: str) -> InputError:
        return InputError([Problem(origin, None, "", None, reason, remedy)])

    if not links and path.is_symlink():
        raise refuse("a symbolic link.", "Put the file itself here.")
    try:
        # without O_NONBLOCK, opening a FIFO would wait for a writer
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise refuse("not a regular file.", "Put a plain text file here.")
            return _read_up_to(fd, max_bytes + 1)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise refuse("no such file.", "Write it, or run `wf init` for one to start from.") from None
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else str(e)
        raise refuse(f"cannot be read: {why}.", "Check its path and permissions.") from None


def shown_path(path: Path, root: Path) -> str:
    """`path` for messages: relative if it is below the project's root."""
    plain = os.path.normpath(path)
    inside = plain.startswith(f"{root}{os.sep}")
    return os.path.relpath(plain, root) if inside else plain


def _read_up_to(fd: int, most: int) -> bytes:
    pieces = []
    while most > 0:
        piece = os.read(fd, most)
        if not piece:
            break
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)
