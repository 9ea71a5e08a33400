"""Tells what this product made: checked before anything is replaced or moved.

A folder of ours holds a record, `made.json` unless its kind has another one. A file of ours begins
with the text that all files of its kind begin with. A file or folder without that is not ours: it
is never replaced, moved or removed, and `NotOurs` names it.
"""

import os
import re
import stat
import threading
from contextlib import suppress

from pytest_wf.wire.files import BadJson, read_bytes, read_json, write_atomic, write_json
from pytest_wf.wire.messages import Refusal

#: The record in a folder of ours.
MARKER = "made.json"
#: Temporary files of a process that was killed while it wrote the record (`files.write_atomic`).
_TORN_MARKER = re.compile(r"\.made\.json\.[0-9a-f]{12}")
#: Its version.
SCHEMA = 1
#: The beginning of each kind of file that this product replaces.
CHECKLIST = b"# Workflow checklist\n"
REPORT = b"<!doctype html>\n<!-- pytest-wf report -->\n"
#: The beginning that pytest writes.
JUNIT = b'<?xml version="1.0" encoding="utf-8"?><testsuites'
STATE = b'{\n  "flow_id": '
POD_CONFIG = b"# Written by pytest-wf, and replaced when its config is synced.\n"

#: The folder of a repository with the working trees of campaigns.
TREES = ".wf-trees"

#: More bytes than the longest of these beginnings.
_MARK_BYTES = 128


class NotOurs(Refusal):
    """`path`, where this product would write, exists, and this product did not make it."""

    def __init__(self, path: str, remedy: str = "Move it away, or name another place.") -> None:
        message = "%s exists, and %s" % (path, _why_unknown(path))
        super().__init__("not-ours", message, remedy, {"path": path})
        self.path = path


def is_foreign_file(path: str, begins: bytes) -> bool:
    """Whether something exists at `path` but a regular file that begins so."""
    return os.path.lexists(path) and not _begins(path, begins)


def replace_file(
    path: str,
    content: bytes,
    begins: bytes,
    mode: int = 0o644,
    flush_folder: bool = True,
) -> None:
    """`write_atomic` for a file whose kind begins with `begins`. Raises NotOurs, OSError."""
    if not content.startswith(begins):
        raise ValueError("the content of %s does not begin as files of its kind do" % path)
    if is_foreign_file(path, begins):
        raise NotOurs(path)
    write_atomic(path, content, mode, flush_folder=flush_folder)


def is_our_folder(path: str) -> bool:
    """Whether `path` is a folder, not a link to one, that holds our record."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return False
        record = read_json(os.path.join(path, MARKER))
    except (OSError, BadJson):
        return False
    return isinstance(record, dict) and type(record.get("schema")) is int


def is_foreign_folder(path: str) -> bool:
    """Whether something else exists at `path` than an empty folder or one of ours.

    A folder whose maker was killed before it was marked counts as ours.
    """
    return os.path.lexists(path) and not (is_our_folder(path) or _is_empty_folder(path))


#: Held while a folder is made: a record that another thread writes would be taken for a torn one.
_making = threading.Lock()


def make_folder(path: str, what: str, project: str = "", mode: int = 0o755) -> None:
    """Make a folder of ours at `path`, or find it; `what` and `project` go into its record.

    An empty folder becomes ours. Threads may make the same one. Raises NotOurs, OSError.
    """
    with _making:
        if is_our_folder(path):
            return
        if is_foreign_folder(path):
            raise NotOurs(path)
        os.makedirs(path, mode=mode, exist_ok=True)
        torn = os.listdir(path)
        mark(path, what, project)
        for name in torn:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, name))


def mark(path: str, what: str, project: str = "") -> None:
    """Write our record into the folder `path`, which was created just now."""
    record = {"schema": SCHEMA, "made_by": "pytest-wf", "what": what, "project": project}
    write_json(os.path.join(path, MARKER), record)


def is_within(path: str, folder: str) -> bool:
    """Whether the normalised `path` is `folder` or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def is_really_within(path: str, folder: str) -> bool:
    """As `is_within`, for the places that both paths lead to."""
    return is_within(os.path.realpath(path), os.path.realpath(folder))


def _begins(path: str, begins: bytes) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode) and os.read(fd, len(begins)) == begins
    except OSError:
        return False
    finally:
        os.close(fd)


def _why_unknown(path: str) -> str:
    """Why what exists at `path` does not count as ours: it may be ours and damaged."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode) and os.path.lexists(os.path.join(path, MARKER)):
            return "its %s, which says who made it, cannot be read" % MARKER
        if stat.S_ISREG(mode) and not read_bytes(path, _MARK_BYTES).strip(b"\0"):
            return "does not say who made it: it is empty, or begins with NUL bytes"
    except OSError:
        pass
    return "pytest-wf did not make it"


def _is_empty_folder(path: str) -> bool:
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return False
        return all(_TORN_MARKER.fullmatch(name) for name in os.listdir(path))
    except OSError:
        return False
