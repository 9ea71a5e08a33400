"""The newest whole checkpoint in a trainer's folder."""

import os
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from pytest_wf.agent.results.checkpoints import Checkpoints
from pytest_wf.agent.run.resume import wholeness
from pytest_wf.agent.run.resume.wholeness import STATE_FILES, File

#: The most files and folders of a run, and of one checkpoint, that are examined, and how deep.
MAX_ENTRIES = 100_000
MAX_DEPTH = 16
#: How many checkpoints that are not whole are skipped.
_MAX_TRIES = 100
_DIGITS = re.compile(r"(\d+)")


class Found(NamedTuple):
    """A checkpoint, whole or not."""

    #: Relative to the trainer's folder.
    path: str
    #: The files of a folder; None for a checkpoint that is one file.
    files: Optional[List[File]]
    #: The time of its last change.
    mtime_ns: int

    @property
    def kind(self) -> str:
        """Its path without numbers: the same for all checkpoints of one series."""
        return _DIGITS.sub("0", self.path)

    @property
    def order(self) -> Tuple[int, List[Tuple[int, str]]]:
        """Sort key: later ones are greater, by time, then by the numbers of the path."""
        texts, numbers = _DIGITS.split(self.path)[::2], _DIGITS.findall(self.path)
        return self.mtime_ns, list(zip(map(int, [*numbers, "0"]), texts))


def newest(top: str, patterns: Checkpoints, since_ns: int = 0) -> str:
    """The newest whole checkpoint below the folder `top` that was written since; '' for none.

    No link is followed, so the checkpoint is below `top`.
    """
    found = sorted(Search(top, patterns).run(), key=lambda one: one.order, reverse=True)
    for place, one in enumerate(found[:_MAX_TRIES]):
        if one.mtime_ns < since_ns:
            break
        before = next((f for f in found[place + 1 :] if f.kind == one.kind), None)
        if _is_whole(top, one, before):
            return one.path
    return ""


def _is_whole(top: str, one: Found, before: Optional[Found]) -> bool:
    path = os.path.join(top, one.path)
    if one.files is None:
        return wholeness.is_whole_file(path)
    known = before.files if before is not None and before.files else []
    has_all = wholeness.state_of(one.files) >= wholeness.state_of(known)
    return has_all and wholeness.is_whole_folder(path, one.files)


class Search:
    """Finds checkpoints below one folder by the patterns of their names."""

    def __init__(self, top: str, patterns: Checkpoints) -> None:
        self._top = top
        self._patterns = patterns
        self._left = MAX_ENTRIES

    def run(self) -> List[Found]:
        """All checkpoints, each once. Those with paths that no report can show are left out."""
        if not os.path.isdir(self._top) or os.path.islink(self._top):
            return []
        paths = dict.fromkeys(path for path in self._paths("", False) if path.isprintable())
        found: Dict[str, Optional[Found]] = {path: self._look_at(path) for path in paths}
        return [one for one in found.values() if one is not None]

    def _paths(self, folder: str, is_collection: bool) -> Iterator[str]:
        """The paths of the checkpoints in `folder` and below."""
        for entry in _entries(os.path.join(self._top, folder)):
            self._left -= 1
            if self._left < 0 or folder.count("/") >= MAX_DEPTH:
                return
            if entry.is_symlink() or wholeness.is_temporary(entry.name):
                continue
            path = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                yield from self._of_folder(path, entry.name, is_collection)
            elif self._patterns.has_file(entry.name):
                # a distributed checkpoint has a file of each process
                is_part = entry.name.endswith(".distcp")
                yield folder or "." if is_part else path
            elif is_collection and entry.name.endswith(STATE_FILES):
                yield path

    def _of_folder(self, path: str, name: str, is_in_collection: bool) -> Iterator[str]:
        is_collection = self._patterns.is_collection(name)
        if not is_collection and (is_in_collection or self._patterns.has_folder(name)):
            yield path
            return
        inner = list(self._paths(path, is_collection))
        yield from inner or ([path] if is_collection else [])

    def _look_at(self, path: str) -> Optional[Found]:
        place = os.path.join(self._top, path)
        try:
            if not os.path.isdir(place):
                return Found(path, None, os.lstat(place).st_mtime_ns)
            files = list(_files(place))
        except OSError:
            return None
        return Found(path, files, max((file.mtime_ns for file in files), default=0))


def _files(place: str) -> Iterator[File]:
    left = MAX_ENTRIES
    for folder, _, names in os.walk(place):
        for name in names[:left]:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            yield File(os.path.relpath(path, place), info.st_size, info.st_mtime_ns)
        left -= len(names)
        if left <= 0:
            return


def _entries(folder: str) -> "List[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
