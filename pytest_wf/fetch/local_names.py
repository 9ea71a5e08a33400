"""Checks which names the local file system can store, by trying them.

The names that a file system accepts, and those that it treats as equal, vary too much to
be known: an unusual name, or one that resembles another, is tried in a separate folder.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from pytest_wf.evidence.fetch_record import COMMIT_RECORD
from pytest_wf.fetch.tree_writer import os_name

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,99}(?<!\.)")
#: Deeper trees cannot be removed by ordinary tools.
MAX_DEPTH = 256
#: Room in a path for the prefixes and suffixes of a run's folder, such as temporary names.
_PATH_MARGIN = 256


class LocalNames:
    """The paths of a run that the file system of a folder can store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: Unusual names that could be stored when they were tried.
        self._held: set[str] = set()
        try:
            longest = os.pathconf(folder, "PC_PATH_MAX")
        except (OSError, ValueError):
            longest = 1024
        self._most_bytes = longest - len(os.fsencode(folder)) - _PATH_MARGIN

    def refused(self, paths: Iterable[str]) -> dict[str, str]:
        """Why a path cannot be stored, for each that cannot; if a folder in it is the
        reason, the path is that of the folder, ending with '/'. Raises OSError."""
        refused: dict[str, str] = {}
        siblings: defaultdict[str, dict[str, None]] = defaultdict(dict)
        siblings[""][COMMIT_RECORD] = None
        for path in paths:
            if path == COMMIT_RECORD:
                refused[path] = "the record of the fetch has this name"
                continue
            if len(path) > self._most_bytes // 4 and len(os_name(path)) > self._most_bytes:
                refused[path] = "its path is too long for this machine"
                continue
            *folders, name = path.split("/")
            if len(folders) > MAX_DEPTH:
                refused[path] = f"it is more than {MAX_DEPTH} folders deep"
                continue
            at = ""
            for folder in folders:
                siblings[at].setdefault(folder + "/")
                at += folder + "/"
            siblings[at].setdefault(name)
        for at, names in siblings.items():
            for name, why in self._refused_in_one_folder(names).items():
                refused[at + name] = why
        return refused

    def _refused_in_one_folder(self, names: Iterable[str]) -> dict[str, str]:
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            alike[_folded(name.rstrip("/"))].append(name)
        tried = [
            name
            for group in alike.values()
            for name in group
            if len(group) > 1 or not (name in self._held or _PLAIN.fullmatch(name.rstrip("/")))
        ]
        return self._tried(tried) if tried else {}

    def _tried(self, names: Iterable[str]) -> dict[str, str]:
        """Why names cannot exist together in one folder, found by trying."""
        refused = {}
        place = tempfile.mkdtemp(prefix=".names-", dir=self._folder)
        try:
            for name in names:
                try:
                    _create(os.path.join(os.fsencode(place), os_name(name.rstrip("/"))))
                    self._held.add(name)
                except FileExistsError:
                    refused[name] = "this file system takes its name for another file's"
                except OSError as e:
                    refused[name] = f"this file system cannot hold its name: {e.strerror}"
        finally:
            shutil.rmtree(place)
        return refused


def _create(path: bytes) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _folded(name: str) -> str:
    """Equal for names that some file system treats as one."""
    if name.isascii():
        return name.lower().rstrip(". ")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold())
