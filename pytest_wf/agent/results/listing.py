"""The files of a run directory: which there are, and how one is opened.

Regular files only. Links are not followed, neither to files nor to directories: what a
run's results are is decided by what stands in its directory.
"""

import os
import re
import stat
import unicodedata
from typing import Any, Dict, List, Tuple

from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.wire import ids
from pytest_wf.wire.messages import Refusal

#: The controller's own record of a fetch; a file of that name would be taken for it.
COMMIT_RECORD = "FETCHED.json"

MAX_DEPTH = 32
MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255
_NO_NAMES = frozenset(("", ".", ".."))
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.=+-]*)*")

#: Path, size and mtime_ns of a file.
Announced = Tuple[str, int, int]


def listing(session: Session, args: Args) -> Result:
    """Operation `listing`: ``{run_ids, checkpoints}`` -> ``{runs, left_out}``.

    ``runs`` maps each run that has a directory to ``[[path, size, mtime_ns], ...]``;
    ``left_out`` names the files that cannot be carried for what they are called.
    """
    runs: Dict[str, List[Announced]] = {}
    left_out: Dict[str, List[str]] = {}
    for run_id in checked_ids(args.get("run_ids")):
        root = session.settings.run_dir(run_id)
        if os.path.islink(root) or not os.path.isdir(root):
            continue
        files, refused = files_of(root, bool(args.get("checkpoints")))
        runs[run_id] = files
        if refused:
            left_out[run_id] = refused
    return {"runs": runs, "left_out": left_out}


def files_of(root: str, checkpoints: bool) -> Tuple[List[Announced], List[str]]:
    """The regular files under `root` in the order of their names, and the names refused."""
    files: List[Announced] = []
    refused: List[str] = []
    waiting = [("", 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = list(os.scandir(os.path.join(root, folder)))
        except OSError as e:
            refused.append("%s/ (%s)" % (_shown(folder), e.strerror))
            continue
        for entry in entries:
            path = entry.name if not folder else folder + "/" + entry.name
            if entry.is_dir(follow_symlinks=False):
                if not checkpoints and entry.name == "checkpoints":
                    continue
                if depth + 1 > MAX_DEPTH or not is_portable(path):
                    refused.append(_shown(path) + "/")
                else:
                    waiting.append((path, depth + 1))
            elif entry.is_file(follow_symlinks=False):
                if path == COMMIT_RECORD or (not checkpoints and _is_checkpoint(entry.name)):
                    continue
                if not is_portable(path):
                    refused.append(_shown(path))
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                files.append((path, found.st_size, found.st_mtime_ns))
    files.sort()
    return files, sorted(refused)


class Tree:
    """Opens regular files below one directory; no link on the way is followed.

    The folder of the last file stays open for the next one: those of a run come in order.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._folder = ""
        self._at = -1

    def open(self, path: str) -> Tuple[int, os.stat_result]:
        """A descriptor of the file `path`, and what it is.

        Raises OSError, also for what is no regular file, and ValueError for a path that is
        not a plain relative one.
        """
        if not is_portable(path):
            raise ValueError("not a plain relative path: %r" % path)
        folder, _, name = path.rpartition("/")
        if self._at < 0 or folder != self._folder:
            self.close()
            self._at, self._folder = _directory(self._root, folder), folder
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._at)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise OSError("not a regular file: %s" % path)
        return fd, found

    def close(self) -> None:
        """Let go of the folder."""
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


def _directory(root: str, path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    at = os.open(root, flags)
    for folder in path.split("/") if path else ():
        try:
            below = os.open(folder, flags, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def is_portable(path: str) -> bool:
    """Whether `path` is relative, without ``..``, and printable Unicode in its normal form."""
    if _PLAIN.fullmatch(path) and len(path) <= MAX_NAME_BYTES:
        return True  # as almost all are, and many they can be
    if not path.isprintable() or "\\" in path:
        return False
    parts = path.split("/")
    if not _NO_NAMES.isdisjoint(parts):
        return False
    if path.isascii():
        return len(path) <= MAX_PATH_BYTES and max(map(len, parts)) <= MAX_NAME_BYTES
    return (
        len(path.encode("utf-8")) <= MAX_PATH_BYTES
        and max(len(part.encode("utf-8")) for part in parts) <= MAX_NAME_BYTES
        and unicodedata.normalize("NFC", path) == path
    )


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
    """`value` as a run id, to the last byte. Raises Refusal 'no-such-run'."""
    if not isinstance(value, str) or not ids.is_id(value):
        raise Refusal(
            "no-such-run",
            "not a run id: %r" % (value,),
            "Ids match %s." % ids.ID_PATTERN.pattern,
        )
    return value


def checked_task_id(value: Any) -> str:
    """`value` as a task id, to the last byte. Raises Refusal 'no-such-task'."""
    if not isinstance(value, str) or not ids.is_id(value):
        raise Refusal(
            "no-such-task",
            "not a task id: %r" % (value,),
            "Ids match %s." % ids.ID_PATTERN.pattern,
        )
    return value


def _is_checkpoint(name: str) -> bool:
    return name == "ckpt.pt" or name.endswith(".ckpt")


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode("utf-8", "backslashreplace")
