"""Reads a folder of unknown origin: no link, pipe or device is followed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pytest_wf.wire.files import BadJson, parse_json

#: The largest record that is read; evidence of 10,000 rows with many metrics takes about 100 MB.
MAX_RECORD_BYTES = 128 * 1024 * 1024
_PIECE_BYTES = 1 << 20
_ANY = object()


class NotRegular(OSError):
    """A link, a folder, a pipe or a device in place of a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file", str(path))


def files_of(folder: Path) -> dict[str, Path]:
    """Every file below `folder` by its name relative to it, in order.

    A link is listed and not followed; so is a folder that cannot be read. Folders without
    files are left out. Raises OSError if `folder` itself cannot be read.
    """
    found: dict[str, Path] = {}
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(folder / prefix) as entries:
                for entry in entries:
                    name = f"{prefix}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{name}/")
                    else:
                        found[name] = folder / name
        except OSError:
            if not prefix:
                raise
            found[prefix.rstrip("/")] = folder / prefix
    return dict(sorted(found.items()))


def digest_of(path: Path, *, size: object = _ANY, follow: bool = False) -> tuple[str, int]:
    """SHA-256 and size of a regular file; the digest is '' if the file has not the given `size`.

    Raises OSError; ValueError for an invalid path.
    """
    digest, read = hashlib.sha256(), 0
    with _opened(path, follow=follow) as f:
        found = os.fstat(f.fileno()).st_size
        if size is not _ANY and size != found:
            return "", found
        # a whole piece of memory for each of many small files costs more than the reading
        most = min(found + 1, _PIECE_BYTES)
        for piece in iter(lambda: f.read(most), b""):
            digest.update(piece)
            read += len(piece)
    return digest.hexdigest(), read


def read_regular(path: Path, most_bytes: int = MAX_RECORD_BYTES) -> bytes:
    """The bytes of a regular file. Raises as `digest_of` does, or if over `most_bytes`."""
    with _opened(path, follow=False) as f:
        raw = f.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes >> 20} MiB", str(path))
    return raw


def parsed(raw: bytes | None) -> dict[str, Any]:
    """The JSON object in `raw`, parsed strictly; empty for anything else."""
    try:
        value = parse_json(raw or b"", MAX_RECORD_BYTES)
    except BadJson:
        return {}
    return value if isinstance(value, dict) else {}


def text_of(record: Mapping[str, Any], name: str) -> str:
    """A field that is text; '' for anything else."""
    value = record.get(name)
    return value if isinstance(value, str) else ""


class Documents(Mapping[str, bytes]):
    """Files by name, read on access, so that not all of them are in memory.

    A file that cannot be read, is too large, or no longer has its digest in `digests` is missing.
    """

    def __init__(self, paths: Mapping[str, Path], digests: Mapping[str, str]) -> None:
        self._paths = paths
        self._digests = digests
        self._kept: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name in self._kept:
            return self._kept[name]
        try:
            raw = read_regular(self._paths[name])
        except OSError:
            raise KeyError(name) from None
        if hashlib.sha256(raw).hexdigest() != self._digests.get(name):
            raise KeyError(name)
        if len(raw) <= _PIECE_BYTES and len(self._kept) < 1000:
            self._kept[name] = raw
        return raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@contextmanager
def _opened(path: Path, *, follow: bool) -> Iterator[IO[bytes]]:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        f = open(path, "rb", opener=lambda name, _: os.open(name, flags))  # noqa: SIM115
    except OSError as e:
        if e.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK, errno.EISDIR):
            raise NotRegular(path) from None
        raise
    with f:
        if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
            raise NotRegular(path)
        yield f
