"""A run that is being fetched: its files so far, and a journal of them.

The files are in ``<dest>/.<run_id>.part/``. The journal beside it names each complete file, and
each larger file that was begun. After a broken link, complete files are not requested
again, and of the others only the rest. A line of it is ``[[path, bytes, mtime_ns, sha256],
...]``, with null for the digest of a file that was begun.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from pytest_wf.evidence.flushing import flush_file, flush_together
from pytest_wf.fetch import local_runs
from pytest_wf.fetch.announced_files import PodFile
from pytest_wf.fetch.archive_reader import Received
from pytest_wf.fetch.selection import Selection
from pytest_wf.fetch.tree_writer import TreeWriter
from pytest_wf.wire.files import BadJson, canonical_json, parse_json, write_atomic
from pytest_wf.wire.ownership import NotOurs
from pytest_wf.wire.packs import SMALL_BYTES

#: More files than this are synced to disk together.
_SYNCED_ONE_BY_ONE = 32


@dataclass
class PartialRun:
    """One run that is being fetched: the pod's listing of it, and the files so far."""

    dest: Path
    #: The files of the run to fetch.
    selection: Selection
    #: Files that are complete, or as complete as the pod could send them.
    have: dict[str, Received] = field(default_factory=dict)
    #: The number of bytes of interrupted files that are here.
    partial_bytes: dict[str, int] = field(default_factory=dict)
    _journal: IO[bytes] | None = None

    def __post_init__(self) -> None:
        self.run_id = self.selection.run_id
        self.files = self.selection.files
        #: Where the files are assembled.
        self.folder = part_folder(self.dest, self.run_id)
        #: The final path of the run.
        self.place = self.dest / self.run_id

    @property
    def missing(self) -> list[PodFile]:
        """The files that have not arrived yet, in the order of the listing."""
        return [f for f in self.files if f.path not in self.have]

    @property
    def missing_bytes(self) -> int:
        """The number of their bytes."""
        return sum([f.size for f in self.missing]) - sum(self.partial_bytes.values())

    @property
    def is_complete(self) -> bool:
        """Whether all files have arrived."""
        return len(self.have) == len(self.files)

    def recover(self) -> None:
        """Keep the complete or begun files of an earlier attempt that are still the pod's; remove
        the rest. Raises NotOurs, OSError."""
        if os.path.lexists(self.folder) and not self._journal_path.is_file():
            raise NotOurs(str(self.folder))
        self._journal_path.touch()
        known = {(f.path, f.size, f.mtime_ns): f for f in self.files}
        begun = set()
        for path, size, mtime_ns, sha256 in self._journalled():
            file = known.get((path, size, mtime_ns))
            if file is None:
                continue
            if sha256 is None:
                begun.add(file)
            elif local_runs.is_same(self.folder, file.path, file.size, sha256):
                self.have[file.path] = Received(sha256, file.size)
        for file in begun:
            here = _regular_size(self.folder / file.path)
            if file.path not in self.have and 0 < here <= file.size:
                self.partial_bytes[file.path] = here
        self._keep_only({*self.have, *self.partial_bytes})
        entries = [
            _entry(f, self.have[f.path].sha256 if f.path in self.have else None)
            for f in self.files
            if f.path in self.have or f.path in self.partial_bytes
        ]
        write_atomic(str(self._journal_path), _line(entries) if entries else b"")

    def adopt(self, digests: Mapping[str, str]) -> None:
        """Reuse files that are in the run's final place already and are still the pod's, by
        path with their digests. They are kept there. Raises OSError."""
        come = []
        for file in self.missing if digests else ():
            if file.path in digests:
                self.partial_bytes.pop(file.path, None)
                _take_over(self.place / file.path, self.folder / file.path)
                come.append((file, Received(digests[file.path], file.size)))
        try:
            self.keep(come)
        finally:
            self.close()

    def wanted(self, files: Sequence[PodFile]) -> list[tuple[object, ...]]:
        """`files` in the form of a request."""
        return [(f.path, f.size, f.mtime_ns, self.partial_bytes.get(f.path, 0)) for f in files]

    def begin(self, file: PodFile) -> int:
        """Record that `file` is about to arrive; return how many of its bytes are here already."""
        if file.size >= SMALL_BYTES and file.path not in self.partial_bytes:
            self._note([_entry(file, None)])
        return self.partial_bytes.get(file.path, 0)

    def keep(self, come: Iterable[tuple[PodFile, Received]]) -> None:
        """Record that files have arrived."""
        come = list(come)
        for file, received in come:
            self.have[file.path] = received
            self.partial_bytes.pop(file.path, None)
        self._note(
            [_entry(file, received.sha256) for file, received in come if not received.problem]
        )

    def finish(self) -> list[PodFile]:
        """Make links and empty folders, and remove files of which nothing could be read.

        Returns the files that are here. Raises OSError.
        """
        tree = TreeWriter()
        try:
            for path in self.selection.folders:
                tree.folder(self.folder, path)
            for path, text in self.selection.links.items():
                tree.link(self.folder, path, text)
            for file in self.files:
                if self._is_nothing(file):
                    tree.remove(self.folder, file.path)
        finally:
            tree.close()
        return [file for file in self.files if not self._is_nothing(file)]

    def contents(self, files: Iterable[PodFile]) -> dict[str, Any]:
        """The files that are here, as in the commit record."""
        return {
            "files": [
                {
                    "path": f.path,
                    "bytes": self.have[f.path].bytes,
                    "sha256": self.have[f.path].sha256,
                    # the time of a file that changed while sent does not belong to these bytes
                    "mtime_ns": None if self.have[f.path].problem else f.mtime_ns,
                }
                for f in files
            ],
            "links": dict(self.selection.links),
            "folders": list(self.selection.folders),
        }

    def _is_nothing(self, file: PodFile) -> bool:
        received = self.have[file.path]
        return bool(received.problem) and file.size > 0 and not received.bytes

    def close(self) -> None:
        """Close the journal; it is opened again when needed."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def forget(self) -> None:
        """Remove the journal of a run that is in place."""
        self.close()
        self._journal_path.unlink(missing_ok=True)

    @property
    def _journal_path(self) -> Path:
        return self.dest / f".{self.run_id}.part.jsonl"

    def _note(self, entries: list[list[object]]) -> None:
        if not entries:
            return
        if self._journal is None:
            self._journal = open(self._journal_path, "ab", buffering=0)  # noqa: SIM115
        self._journal.write(_line(entries))

    def _journalled(self) -> Iterator[tuple[str, int, int, str | None]]:
        try:
            lines = self._journal_path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entries = parse_json(line)
            except BadJson:
                continue  # the incomplete last line after a crash
            for entry in entries if isinstance(entries, list) else ():
                match entry:
                    case [str(path), int(size), int(mtime_ns), str() | None as sha256]:
                        yield path, size, mtime_ns, sha256

    def _keep_only(self, paths: set[str]) -> None:
        if not paths:
            local_runs.remove(self.folder)
        self.folder.mkdir(exist_ok=True)
        for root, folders, names in os.walk(self.folder, topdown=False):
            links = [name for name in folders if os.path.islink(os.path.join(root, name))]
            for name in [*names, *links]:
                file = Path(root, name)
                if file.relative_to(self.folder).as_posix() not in paths:
                    file.unlink()
            if Path(root) != self.folder and not os.listdir(root):
                os.rmdir(root)


def part_folder(dest: Path, run_id: str) -> Path:
    """Where a run that is fetched to `dest` is assembled."""
    return dest / f".{run_id}.part"


def sync(parts: Sequence[PartialRun]) -> None:
    """Sync all files of `parts` to disk."""
    if sum(len(part.files) for part in parts) > _SYNCED_ONE_BY_ONE:
        # one fsync per file takes minutes for 100,000 small files
        os.sync()
        return
    paths = [str(part.folder / file.path) for part in parts for file in part.files]
    flush_together(partial(flush_file, path) for path in paths)


def _take_over(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        # a file with two names takes no extra room; the older name goes when the run is replaced
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)


def _regular_size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    except (OSError, ValueError):
        return 0


def _entry(file: PodFile, sha256: str | None) -> list[object]:
    return [file.path, file.size, file.mtime_ns, sha256]


def _line(entries: list[list[object]]) -> bytes:
    return canonical_json(entries) + b"\n"
