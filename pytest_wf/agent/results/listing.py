"""Lists the contents of a directory, and opens its files.

Names are text as on the wire: UTF-8, other bytes as lone surrogates (`surrogateescape`). No link is
followed, neither to a file nor to a folder; one that stays inside the run directory is listed with
its target. Only below ``trackers/`` is a link to a file elsewhere listed and read as that file:
trackers keep saved files, and their own logs, as links.
"""

import errno
import os
import stat
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from pytest_wf.agent.control.settings import TRACKERS
from pytest_wf.wire import ids, packs
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import MARKER

_NO_NAMES = frozenset(("", ".", ".."))
_BLOCK_BYTES = 512
#: Errors of a link that leads to no file.
_NOTHING = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
_KINDS = {
    stat.S_IFSOCK: packs.SOCKET,
    stat.S_IFIFO: packs.PIPE,
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}

#: Path, size and mtime_ns of a file.
Announced = Tuple[str, int, int]
#: Path of what cannot be sent, its size, and why.
Odd = Tuple[str, int, str]
#: An absolute path at which the trainer had a folder of the run, and its path in the run directory.
Earlier = Tuple[str, str]


class Contents(NamedTuple):
    """What a run directory holds, in the order of the names."""

    files: List[Announced]
    #: Each link with the path in the run directory that it leads to.
    links: List[Tuple[str, str]]
    #: Folders with nothing in them.
    folders: List[str]
    odd: List[Odd]
    #: How many bytes of the files' sizes take no space on disk.
    holes: int


def contents_of(root: str, earlier: Sequence[Earlier] = ()) -> Contents:
    """What the directory `root` holds. Never raises for what it finds.

    A link with the absolute path of an `earlier` place leads to the same file in `root`.
    """
    found = Contents([], [], [], [], 0)
    if os.path.islink(root) or not os.path.isdir(root):
        what = "a link" if os.path.islink(root) else "not a directory"
        return found._replace(odd=[(".", 0, "the run directory is %s" % what)])
    walk = _Walk(root, earlier)
    waiting = [""]
    while waiting:
        waiting += walk.folder(waiting.pop())
    return walk.contents()


class _Walk:
    """Lists one run directory, a folder at a time."""

    def __init__(self, root: str, earlier: Sequence[Earlier]) -> None:
        self._root = os.fsencode(root)
        self._real = os.path.realpath(self._root)
        self._earlier = earlier
        self._found = Contents([], [], [], [], 0)
        self._holes = 0

    def contents(self) -> Contents:
        """What was found so far."""
        found = self._found
        return Contents(
            sorted(found.files),
            sorted(found.links),
            sorted(found.folders),
            sorted(found.odd),
            self._holes,
        )

    def folder(self, folder: str) -> List[str]:
        """List one folder; returns the folders in it."""
        below: List[str] = []
        try:
            at = _directory(self._root, folder)
        except OSError as e:
            self._odd(folder + "/", 0, "cannot be read: %s" % e.strerror)
            return below
        try:
            entries = list(os.scandir(at))
            for entry in entries:  # each is looked at through the open folder
                name = _wire_name(entry.name)
                self._entry(entry, folder + "/" + name if folder else name, below)
            if folder and not entries:
                self._found.folders.append(folder)
        except OSError as e:
            self._odd(folder + "/", 0, "cannot be read: %s" % e.strerror)
        finally:
            os.close(at)
        return below

    def _entry(self, entry: "os.DirEntry[str]", path: str, below: List[str]) -> None:
        if path == MARKER:
            return  # it records the owner of the directory, on the pod only
        if entry.is_dir(follow_symlinks=False):
            below.append(path)
        elif entry.is_symlink():
            self._link(path)
        else:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                return  # it has gone since
            except OSError as e:
                self._odd(path, 0, "cannot be read: %s" % e.strerror)
                return
            if stat.S_ISREG(found.st_mode):
                self._found.files.append((path, found.st_size, found.st_mtime_ns))
                self._holes += max(0, found.st_size - found.st_blocks * _BLOCK_BYTES)
            else:
                self._odd(path, 0, _kind(found.st_mode))

    def _link(self, path: str) -> None:
        link = os.path.join(self._real, _os_name(path))
        inside = None
        try:
            leads_to = os.readlink(link).decode("utf-8", "surrogateescape")
            inside = _inside(self._real, os.path.realpath(link))
            if inside is None:
                link = self._moved(leads_to) or link
                inside = _inside(self._real, os.path.realpath(link))
            found = os.stat(link)
        except OSError as e:
            # what a link out of the run leads to may be on a disk that is not mounted now
            is_empty = inside is not None and e.errno in _NOTHING
            why = "a link that leads nowhere: %s" % e.strerror
            self._odd(path, 0, packs.DANGLING_LINK if is_empty else why)
            return
        if inside is None and _is_followed(path) and stat.S_ISREG(found.st_mode):
            self._found.files.append((path, found.st_size, found.st_mtime_ns))
        elif inside is None:
            self._odd(path, 0, "a link out of the run directory, to %s" % leads_to)
        elif stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
            self._found.links.append((path, inside))
        else:
            self._odd(path, 0, packs.LINK_TO % _kind(found.st_mode))

    def _moved(self, leads_to: str) -> Optional[bytes]:
        """Where the target of an absolute link is now, if the run was moved or copied with it."""
        for place, path in self._earlier:
            if (leads_to + "/").startswith(place + "/"):
                below = (path + leads_to[len(place) :]).lstrip("/")
                return os.path.join(self._real, _os_name(below))
        return None

    def _odd(self, path: str, size: int, why: str) -> None:
        self._found.odd.append((path, size, why))


def _is_followed(path: str) -> bool:
    """Whether a link at `path` may be read as the file that it leads to."""
    return path.startswith(TRACKERS + "/")


def _inside(real: bytes, target: bytes) -> Optional[str]:
    """The path of `target` below the directory `real`; None if it is not below it."""
    if target == real:
        return "."
    if not target.startswith(real + b"/"):
        return None
    return target[len(real) + 1 :].decode("utf-8", "surrogateescape")


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "neither a file nor a folder")


def _wire_name(name: str) -> str:
    """A name in this system's Python, in the form of the wire."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")


def _os_name(path: str) -> bytes:
    """A path of the wire, in the form of the operating system. Raises ValueError."""
    return path.encode("utf-8", "surrogateescape")


class Tree:
    """Opens regular files below one directory; no link to a folder is followed.

    The folder of the last file stays open for the next one: a run's files come in order.
    """

    def __init__(self, root: str) -> None:
        self._root = os.fsencode(root)
        self._folder = ""
        self._at = -1

    def open(self, path: str) -> Tuple[int, os.stat_result]:
        """A descriptor of the file `path`, and its status.

        Raises OSError, also if it is not a regular file, and ValueError for a path that is not a
        plain relative one.
        """
        if not is_relative(path):
            raise ValueError("not a plain relative path: %r" % path)
        folder, _, name = path.rpartition("/")
        if self._at < 0 or folder != self._folder:
            self.close()
            self._at, self._folder = _directory(self._root, folder), folder
        flags = os.O_RDONLY | os.O_NONBLOCK | (0 if _is_followed(path) else os.O_NOFOLLOW)
        fd = os.open(_os_name(name), flags, dir_fd=self._at)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise OSError("not a regular file: %s" % path)
        return fd, found

    def close(self) -> None:
        """Close the folder."""
        if self._at >= 0:
            os.close(self._at)
            self._at = -1


def open_regular(root: str, path: str) -> int:
    """A descriptor of one regular file, as `Tree.open` gives it."""
    tree = Tree(root)
    try:
        return tree.open(path)[0]
    finally:
        tree.close()


def _directory(root: bytes, path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    at = os.open(root, flags)
    for folder in path.split("/") if path else ():
        try:
            below = os.open(_os_name(folder), flags, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def is_relative(path: str) -> bool:
    """Whether `path` is relative, without ``..``, empty parts and NUL bytes."""
    return "\0" not in path and _NO_NAMES.isdisjoint(path.split("/"))


def checked_ids(value: Any) -> List[str]:
    """`value` as a list of run ids. Raises Refusal 'no-such-run' for anything else."""
    if not isinstance(value, list):
        raise Refusal("no-such-run", "run_ids is not a list")
    return [checked_run_path(path) for path in value]


def checked_run_path(value: Any) -> str:
    """`value` as the path of a run directory. Raises Refusal 'no-such-run'."""
    if not isinstance(value, str) or not ids.is_run_path(value):
        raise Refusal("no-such-run", "not a run: %r" % (value,))
    return value


def checked_id(value: Any) -> str:
    """`value` as a run id, matched as a whole. Raises Refusal 'no-such-run'."""
    if not isinstance(value, str) or not ids.is_id(value):
        raise Refusal(
            "no-such-run",
            "not a run id: %r" % (value,),
            "Ids match %s." % ids.ID_PATTERN.pattern,
        )
    return value


def checked_task_id(value: Any) -> str:
    """`value` as a task id, matched as a whole. Raises Refusal 'no-such-task'."""
    if not isinstance(value, str) or not ids.is_id(value):
        raise Refusal(
            "no-such-task",
            "not a task id: %r" % (value,),
            "Ids match %s." % ids.ID_PATTERN.pattern,
        )
    return value
