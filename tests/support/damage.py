"""Kinds of damage that a control file may take."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def truncate(path: Path) -> None:
    """Cut the file in its middle."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Leave nothing in it."""
    path.write_bytes(b"")


def nul(path: Path) -> None:
    """Fill it with NUL bytes, as a file system may after a power loss."""
    path.write_bytes(bytes(path.stat().st_size))


def garbage(path: Path) -> None:
    """Fill it with what is no text."""
    path.write_bytes(bytes(range(256)) * 4)


def flip_bit(path: Path) -> None:
    """Change one letter of its first long word: still JSON."""
    found = json.loads(path.read_text())
    text = json.dumps(found)
    key = next(k for k, v in found.items() if isinstance(v, str) and len(v) > 3)
    word = json.dumps(found[key])
    flipped = word[:2] + chr(ord(word[2]) ^ 1) + word[3:]
    path.write_text(text.replace(word, flipped, 1))


def other_json(path: Path) -> None:
    """Let it be JSON of another kind."""
    path.write_text("[]")


def directory(path: Path) -> None:
    """Put a directory in its place."""
    path.unlink()
    path.mkdir()
    (path / "kept").write_text("of a user")


def pipe(path: Path) -> None:
    """Put a named pipe in its place."""
    path.unlink()
    os.mkfifo(path)


def dangling(path: Path) -> None:
    """Put a link to nothing in its place."""
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def missing(path: Path) -> None:
    """Remove it."""
    path.unlink()


KINDS: dict[str, Damage] = {
    d.__name__: d
    for d in (
        truncate,
        empty,
        nul,
        garbage,
        flip_bit,
        other_json,
        directory,
        pipe,
        dangling,
        missing,
    )
}
