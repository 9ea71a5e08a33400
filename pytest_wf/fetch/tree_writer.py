"""Writes fetched files, links and folders below an open directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class TreeWriter:
    """Makes files, links and folders below a folder; follows no link on the way.

    The last directory stays open for the next file. Every method raises OSError.
    """

    def __init__(self) -> None:
        self._at = -1
        self._where: tuple[Path, str] | None = None

    def write(self, folder: Path, path: str, mode: int, data: memoryview) -> None:
        """Write a new file with `data`; anything else at its path is removed first."""
        fd = self.open(folder, path, mode, 0)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)

    def open(self, folder: Path, path: str, mode: int, start: int) -> int:
        """Open the file `path` below `folder`: new, or truncated at `start` to append the rest.

        Anything else at its path is removed first.
        """
        parent, _, name = path.rpartition("/")
        self._enter(folder, parent)
        raw = os_name(name)
        if start:
            fd = os.open(raw, os.O_RDWR | os.O_NOFOLLOW, dir_fd=self._at)
            os.truncate(fd, start)
            return fd
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        mode = 0o755 if mode & stat.S_IXUSR else 0o644
        try:
            return os.open(raw, flags, mode, dir_fd=self._at)
        except FileExistsError:
            os.unlink(raw, dir_fd=self._at)
            return os.open(raw, flags, mode, dir_fd=self._at)

    def remove(self, folder: Path, path: str) -> None:
        """Remove the file `path` below `folder`."""
        parent, _, name = path.rpartition("/")
        self._enter(folder, parent)
        os.unlink(os_name(name), dir_fd=self._at)

    def link(self, folder: Path, path: str, text: str) -> None:
        """Make the link `path` below `folder`."""
        parent, _, name = path.rpartition("/")
        self._enter(folder, parent)
        os.symlink(os_name(text), os_name(name), dir_fd=self._at)

    def folder(self, folder: Path, path: str) -> None:
        """Make the folder `path` below `folder`."""
        self._enter(folder, path)

    def _enter(self, folder: Path, path: str) -> None:
        if self._where != (folder, path):
            self.close()
            self._at, self._where = _directory(folder, path), (folder, path)

    def close(self) -> None:
        """Close the directory."""
        if self._at >= 0:
            os.close(self._at)
        self._at, self._where = -1, None


def write_all(fd: int, piece: bytes | memoryview) -> None:
    """Write all of `piece`."""
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(fd, rest) :]


def os_name(path: str) -> bytes:
    """A path as the operating system encodes it; bytes that are not UTF-8 are surrogates."""
    return path.encode("utf-8", "surrogateescape")


def _directory(folder: Path, path: str) -> int:
    """An open directory below `folder`, created if missing; follows no link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    at = os.open(folder, flags)
    for part in path.split("/") if path else ():
        try:
            try:
                below = os.open(os_name(part), flags, dir_fd=at)
            except FileNotFoundError:
                os.mkdir(os_name(part), 0o755, dir_fd=at)
                below = os.open(os_name(part), flags, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at
