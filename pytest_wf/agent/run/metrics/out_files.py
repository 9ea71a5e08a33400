"""The files that a trainer writes below its ``out_dir``, found in bounded time.

A file that an earlier attempt left counts once this attempt has written it. Links are not followed;
if ``out_dir`` itself is a link, nothing is searched.
"""

import hashlib
import json
import os
import stat
import time
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional

from pytest_wf.wire.files import BadJson, read_json, write_json

#: Name of the file of an attempt that records which files existed before it.
FOUND_BEFORE = "found_before.json"

_MAX_DEPTH = 6
_MAX_ENTRIES = 10_000
_MAX_FILES = 64
_MAX_PATH_CHARS = 200
#: Least seconds between two looks, and the least multiple of the time that a look took.
_PAUSE_S = 5.0
_PAUSES_PER_LOOK = 50
_END_BYTES = 4096


class OutFile(NamedTuple):
    """A file that was found."""

    path: str
    #: Its path below `out_dir`, by which it is named as a source.
    source: str
    size: int
    changed_ns: int


class Left(NamedTuple):
    """A file as an earlier attempt left it, with the digest of its end."""

    size: int
    changed_ns: int
    end_sha256: str

    def is_begin_of(self, fd: int, size: int) -> bool:
        """Whether an open file of `size` bytes begins with what was left, by the end of that."""
        return size >= self.size and _end_sha256(fd, self.size) == self.end_sha256


class OutFiles:
    """The files with one of `names` below `out_dir`."""

    def __init__(self, out_dir: str, names: Iterable[str]) -> None:
        self.out_dir = out_dir
        #: What earlier attempts left, by path below `out_dir`.
        self.left: Mapping[str, Left] = {}
        self._names = frozenset(names)
        self._found: List[OutFile] = []
        self._next_look = 0.0

    def look(self, is_last: bool = False) -> None:
        """Look for files, if the last look is long enough ago or this is the last one."""
        began = time.monotonic()
        if began < self._next_look and not is_last:
            return
        found = _search(self.out_dir, self._names)
        self._found = [one for one in found if not self._is_left(one)]
        now = time.monotonic()
        self._next_look = now + max(_PAUSE_S, _PAUSES_PER_LOOK * (now - began))

    def named(self, *names: str) -> List[OutFile]:
        """Those of these names that this attempt wrote, the one written last first."""
        found = (one for one in self._found if os.path.basename(one.source) in names)
        # if the times are the same: the one nearest to out_dir
        return sorted(found, key=lambda one: (-one.changed_ns, one.source.count("/"), one.source))

    def begin(self, record: str) -> None:
        """Note which files exist before the trainer starts, in the file `record` too if any do."""
        found = ((one, _left(one)) for one in _search(self.out_dir, self._names))
        self.left = {one.source: left for one, left in found if left is not None}
        if self.left:
            write_json(record, {source: list(left) for source, left in self.left.items()})

    def begun(self, record: str) -> None:
        """Take what `begin` wrote to `record`, for an attempt that another process began."""
        try:
            self.left = _left_in(read_json(record))
        except (OSError, BadJson):
            self.left = {}

    def _is_left(self, file: OutFile) -> bool:
        left = self.left.get(file.source)
        return left is not None and (left.size, left.changed_ns) == (file.size, file.changed_ns)


def open_regular(path: str) -> Optional[int]:
    """A descriptor of a regular file, links not followed; None for anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def read_object(path: str, most_bytes: int) -> Optional[Dict[str, Any]]:
    """The JSON object in a file, NaN included; None if there is none, or only a part of one."""
    fd = open_regular(path)
    if fd is None:
        return None
    try:
        with os.fdopen(fd, "rb") as file:
            raw = file.read(most_bytes + 1)
        # not the strict reader: a NaN is what a diverged run writes
        value = json.loads(raw) if len(raw) <= most_bytes else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _search(out_dir: str, names: FrozenSet[str]) -> List[OutFile]:
    found: List[OutFile] = []
    for entry, source in _entries(out_dir):
        if entry.name not in names or not source.isprintable() or len(source) > _MAX_PATH_CHARS:
            continue
        try:
            info = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode):
            found.append(OutFile(entry.path, source, info.st_size, info.st_mtime_ns))
    return found[:_MAX_FILES]


def _entries(out_dir: str) -> "Iterator[tuple[os.DirEntry[str], str]]":
    """The entries below `out_dir`, folder by folder from the top, each with its relative path."""
    seen = 0
    level = [] if os.path.islink(out_dir) else [(out_dir, "")]
    for _ in range(_MAX_DEPTH):
        below = []
        for folder, prefix in level:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        seen += 1
                        if seen > _MAX_ENTRIES:
                            return
                        if entry.is_dir(follow_symlinks=False):
                            below.append((entry.path, prefix + entry.name + "/"))
                        else:
                            yield entry, prefix + entry.name
            except OSError:
                continue
        level = sorted(below)


def _left(file: OutFile) -> Optional[Left]:
    fd = open_regular(file.path)
    if fd is None:
        return None
    try:
        return Left(file.size, file.changed_ns, _end_sha256(fd, file.size))
    except OSError:
        return None
    finally:
        os.close(fd)


def _left_in(value: Any) -> Dict[str, Left]:
    found = {}
    for source, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, list) and [type(part) for part in one] == [int, int, str]:
            found[str(source)] = Left(*one)
    return found


def _end_sha256(fd: int, size: int) -> str:
    begin = max(0, size - _END_BYTES)
    return hashlib.sha256(os.pread(fd, size - begin, begin)).hexdigest()
