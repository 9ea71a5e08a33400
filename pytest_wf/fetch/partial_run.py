"""What has come of a run that is not here yet: its files, and a journal of them.

The files stand in ``<dest>/.<run_id>.part/``. The journal beside it names each file that came
whole, and each larger one that was begun: after a broken link the first are not asked for
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
    """One run on its way: what the pod announced of it, and what has come."""

    dest: Path
    #: What of the run is to come.
    selection: Selection
    #: Files that are here whole, or as whole as the pod could send them.
    have: dict[str, Received] = field(default_factory=dict)
    #: How much is here of files that broke off.
    partial_bytes: dict[str, int] = field(default_factory=dict)
    _journal: IO[bytes] | None = None

    def __post_init__(self) -> None:
        self.run_id = self.selection.run_id
        self.files = self.selection.files
        #: Where the files are put together.
        self.folder = part_folder(self.dest, self.run_id)
        #: Where the run will stand.
        self.place = self.dest / self.run_id

    @property
    def missing(self) -> list[PodFile]:
        """What has to come still, in the order in which it was announced."""
        return [f for f in self.files if f.path not in self.have]

    @property
    def missing_bytes(self) -> int:
        """How many bytes that are."""
        return sum([f.size for f in self.missing]) - sum(self.partial_bytes.values())

    @property
    def is_complete(self) -> bool:
        """Whether nothing has to come any more."""
        return len(self.have) == len(self.files)

    def recover(self) -> None:
        """Keep of an earlier attempt what is whole or begun and still the pod's; throw away
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
        """Take over files that stand in the run's place already and are the pod's still, by
        path with their digests. What stands there stays there. Raises OSError."""
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
        """`files` as the pod is asked for them."""
        return [(f.path, f.size, f.mtime_ns, self.partial_bytes.get(f.path, 0)) for f in files]

    def begin(self, file: PodFile) -> int:
        """Note that `file` is about to come; returns how much of it is here already."""
        if file.size >= SMALL_BYTES and file.path not in self.partial_bytes:
            self._note([_entry(file, None)])
        return self.partial_bytes.get(file.path, 0)

    def keep(self, come: Iterable[tuple[PodFile, Received]]) -> None:
        """Note that files have come."""
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
        """What is here, as the commit record has it."""
        return {
            "files": [
                {
                    "path": f.path,
                    "bytes": self.have[f.path].bytes,
                    "sha256": self.have[f.path].sha256,
                    # the stamp of a file that changed while it was sent says nothing of these bytes
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
        """Close the journal; it is opened again where needed."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def forget(self) -> None:
        """Remove the journal of a run that is in its place."""
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
                continue  # the torn last line of a crash
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
    """Where a run that is fetched to `dest` is put together."""
    return dest / f".{run_id}.part"


def sync(parts: Sequence[PartialRun]) -> None:
    """Have all files of `parts` on disk, not only in memory."""
    if sum(len(part.files) for part in parts) > _SYNCED_ONE_BY_ONE:
        # an fsync a file takes minutes for 100,000 small ones
        os.sync()
        return
    paths = [str(part.folder / file.path) for part in parts for file in part.files]
    flush_together(partial(flush_file, path) for path in paths)


def _take_over(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        # one file under two names costs no room; the older name goes when the run is replaced
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
