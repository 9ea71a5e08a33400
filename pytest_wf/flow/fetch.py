"""Results come home: names and sizes first, every byte compared, the record written last.

A run is put together in ``<dest>/.<run_id>.part/`` and takes its place in one rename, with
its commit record inside. What came before a broken link is kept and not asked for again.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.flow import shelf
from pytest_wf.flow.unpack import (
    COMMIT_RECORD,
    ArchiveReader,
    PodFile,
    Received,
    checked_files,
    hostile,
)
from pytest_wf.pods.base import Stream
from pytest_wf.wire import ids
from pytest_wf.wire.files import write_json

__all__ = ["FetchResult", "RunFetched", "fetch_runs", "verified_runs"]

#: A batch is asked for, synced to disk and put in place together.
_BATCH_RUNS = 200
_BATCH_FILES = 2000
_BATCH_BYTES = 256 * 1024 * 1024
#: Broken links in a row that brought nothing.
_IDLE_TRIES = 3
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class Agent(Protocol):
    """What of `pods.client.AgentClient` a fetch needs."""

    def request(
        self, op: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 60
    ) -> dict[str, Any]:
        """Ask and wait for the answer."""

    def archive(self, files: Sequence[Mapping[str, Any]]) -> Stream:
        """Start a stream that carries `files`."""


@dataclass(frozen=True)
class RunFetched:
    """One run that is here."""

    path: Path
    files: int
    bytes: int
    #: Whether every file is whole and equal to the pod's.
    verified: bool
    #: Why it is not verified, where it is not.
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class FetchResult:
    """What a fetch brought; `bytes` and `files` count what the runs hold now."""

    runs: dict[str, RunFetched]
    bytes: int
    files: int


@dataclass
class _Run:
    """A run on its way."""

    run_id: str
    files: list[PodFile]
    left_out: list[str]
    have: dict[str, Received] = field(default_factory=dict)

    @property
    def missing(self) -> list[PodFile]:
        return [f for f in self.files if f.path not in self.have]


def fetch_runs(
    client: Agent,
    run_ids: Sequence[str],
    dest: Path,
    *,
    campaign_id: str,
    checkpoints: bool = False,
    on_bytes: Callable[[int, int], None] | None = None,
) -> FetchResult:
    """Bring `run_ids` to ``<dest>/<run_id>/``, each verified and put in place whole.

    `on_bytes` is told the bytes that have come and the bytes known to be needed so far.
    Raises OperationFailed: 'no-such-run', 'hostile-answer', 'digest', 'local-disk'; LinkLost
    where the link broke for good. In each case what was here before is as it was.
    """
    fetched: dict[str, RunFetched] = {}
    meter = _Meter(on_bytes)
    with _local_disk(dest):
        dest.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(run_ids), _BATCH_RUNS):
        wanted = list(run_ids[start : start + _BATCH_RUNS])
        idle = 0
        while True:
            before = meter.done
            try:
                fetched.update(
                    _Batch(client, wanted, dest, campaign_id, checkpoints, meter).carry()
                )
                break
            except LinkLost:
                idle = 0 if meter.done > before else idle + 1
                if idle >= _IDLE_TRIES:
                    raise
    return FetchResult(
        fetched, sum(r.bytes for r in fetched.values()), sum(r.files for r in fetched.values())
    )


def verified_runs(dest: Path, campaign_id: str, *, digests: bool = False) -> set[str]:
    """Runs of `campaign_id` whose commit record in `dest` holds: every file there, of its size.

    With `digests` every file is read again and compared.
    """
    found = set()
    try:
        names = [entry.name for entry in os.scandir(dest) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return set()
    for name in names:
        if not ids.is_id(name):
            continue
        record = shelf.record_of(dest / name)
        if (
            record is not None
            and record.get("campaign_id") == campaign_id
            and record.get("run_id") == name
            and record.get("whole") is True
            and shelf.stands(dest / name, record, digests)
        ):
            found.add(name)
    return found


class _Meter:
    """Counts bytes and passes the news on."""

    def __init__(self, on_bytes: Callable[[int, int], None] | None) -> None:
        self._on_bytes = on_bytes
        self.done = 0
        self.total = 0

    def expect(self, count: int) -> None:
        self.total = self.done + count

    def add(self, count: int) -> None:
        self.done += count
        if self._on_bytes is not None:
            self._on_bytes(self.done, max(self.done, self.total))


class _Batch:
    """Runs that are listed, carried and put in place together."""

    def __init__(
        self,
        client: Agent,
        run_ids: list[str],
        dest: Path,
        campaign_id: str,
        checkpoints: bool,
        meter: _Meter,
    ) -> None:
        self._client = client
        self._run_ids = run_ids
        self._dest = dest
        self._campaign_id = campaign_id
        self._checkpoints = checkpoints
        self._meter = meter

    def carry(self) -> dict[str, RunFetched]:
        runs = self._listed()
        done: dict[str, RunFetched] = {}
        with _local_disk(self._dest):
            for run in runs:
                shelf.restore(self._dest / run.run_id)
            for run in list(runs):
                standing = self._standing(run)
                if standing is not None:
                    done[run.run_id] = standing
                    runs.remove(run)
            for run in runs:
                self._prepare(run)
            needed = [file for run in runs for file in run.missing]
            self._meter.expect(sum(file.size for file in needed))
            self._refuse_without_room(needed)
            by_id = {run.run_id: run for run in runs}
            for piece in _pieces(needed):
                self._stream(by_id, piece)
            # one sync for all of them: an fsync a file takes minutes for 100,000 small ones
            os.sync()
            for run in runs:
                done[run.run_id] = self._commit(run)
        return done

    def _listed(self) -> list[_Run]:
        answer = self._client.request(
            "listing",
            {"run_ids": self._run_ids, "checkpoints": self._checkpoints},
            timeout_s=300,
        )
        listed, left_out = answer.get("runs"), answer.get("left_out", {})
        if not isinstance(listed, dict) or not isinstance(left_out, dict):
            raise hostile("its listing is no list of runs")
        strangers = set(listed) - set(self._run_ids)
        if strangers:
            raise hostile(f"it lists {sorted(strangers)[0]!r}, which nobody asked for")
        absent = [run_id for run_id in self._run_ids if run_id not in listed]
        if absent:
            raise OperationFailed(
                "no-such-run",
                f"the pod has no results of {', '.join(absent[:10])}.",
                "Look at `wf sweep-status`.",
                {"absent": absent},
            )
        return [
            _Run(
                run_id,
                checked_files(run_id, listed[run_id]),
                [str(name)[:200] for name in left_out.get(run_id, [])],
            )
            for run_id in self._run_ids
        ]

    def _standing(self, run: _Run) -> RunFetched | None:
        """The run as it stands here already, if it is the pod's, byte for byte."""
        place = self._dest / run.run_id
        record = shelf.record_of(place)
        if (
            record is None
            or run.left_out
            or record.get("campaign_id") != self._campaign_id
            or record.get("whole") is not True
        ):
            return None
        here = {f["path"]: (f["bytes"], f.get("mtime_ns")) for f in record["files"]}
        there = {f.path: (f.size, f.mtime_ns) for f in run.files}
        if here != there or not shelf.stands(place, record, digests=True):
            return None
        return RunFetched(place, len(run.files), sum(f.size for f in run.files), True)

    def _prepare(self, run: _Run) -> None:
        """Keep of an earlier attempt what is whole and still the pod's; throw away the rest."""
        part = self._part(run.run_id)
        known = {f.path: f for f in run.files}
        for line in shelf.journal_lines(self._journal(run.run_id)):
            file = known.get(str(line.get("path")))
            if (
                file is not None
                and (line.get("bytes"), line.get("mtime_ns")) == (file.size, file.mtime_ns)
                and shelf.is_same(part, file.path, file.size, str(line.get("sha256")))
            ):
                run.have[file.path] = Received(str(line["sha256"]), file.size, True)
        if not run.have:
            shelf.remove(part)
        else:
            shelf.keep_only(part, set(run.have))
        part.mkdir(exist_ok=True)
        with open(self._journal(run.run_id), "w", encoding="utf-8") as f:
            for path, received in run.have.items():
                f.write(shelf.journal_line(known[path], received))

    def _stream(self, by_id: Mapping[str, _Run], files: Sequence[PodFile]) -> None:
        asked = [{"run_id": f.run_id, "path": f.path, "size": f.size} for f in files]
        stream = self._client.archive(asked)
        try:
            reader = ArchiveReader(stream, self._meter.add)
            for file in files:
                received = reader.receive(file, self._part(file.run_id))
                by_id[file.run_id].have[file.path] = received
                if received.whole:
                    with open(self._journal(file.run_id), "a", encoding="utf-8") as f:
                        f.write(shelf.journal_line(file, received))
            reader.finish(len(files))
        finally:
            stream.close()

    def _commit(self, run: _Run) -> RunFetched:
        """Write the commit record and put the run in its place."""
        torn = [f.path for f in run.files if not run.have[f.path].whole]
        problems = [f"{path} changed while it was sent" for path in torn]
        problems += [f"{name} has a name that cannot be carried" for name in run.left_out]
        part, place = self._part(run.run_id), self._dest / run.run_id
        size = sum(received.bytes for received in run.have.values())
        fetched = RunFetched(place, len(run.files), size, not problems, tuple(problems))
        if problems and os.path.lexists(place) and shelf.owner_of(place) == self._campaign_id:
            return fetched  # what stands here is replaced by something verified only
        record = {
            "schema": 1,
            "campaign_id": self._campaign_id,
            "run_id": run.run_id,
            "whole": not problems,
            "problems": problems,
            "checkpoints": self._checkpoints,
            "fetched_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "files": [
                {
                    "path": f.path,
                    "bytes": run.have[f.path].bytes,
                    "sha256": run.have[f.path].sha256,
                    "mtime_ns": f.mtime_ns,
                }
                for f in run.files
            ],
        }
        write_json(str(part / COMMIT_RECORD), record)
        self._make_way(place)
        os.rename(part, place)
        shelf.remove(shelf.old(place))
        self._journal(run.run_id).unlink(missing_ok=True)
        return fetched

    def _make_way(self, place: Path) -> None:
        if not os.path.lexists(place):
            return
        owner = shelf.owner_of(place)
        if owner == self._campaign_id:
            shelf.remove(shelf.old(place))
            os.rename(place, shelf.old(place))
            return
        aside = place.with_name(f"{place.name}.{owner}")
        count = 1
        while os.path.lexists(aside):
            count += 1
            aside = place.with_name(f"{place.name}.{owner}.{count}")
        os.rename(place, aside)

    def _refuse_without_room(self, files: Sequence[PodFile]) -> None:
        needed, free = sum(f.size for f in files), shutil.disk_usage(self._dest).free
        if needed > free:
            raise OperationFailed(
                "local-disk",
                f"{self._dest} has {free:,} bytes free; the results need {needed:,}.",
                "Make room, or point LOCAL_ARTIFACTS_DIR elsewhere, and fetch again.",
            )

    def _part(self, run_id: str) -> Path:
        return self._dest / f".{run_id}.part"

    def _journal(self, run_id: str) -> Path:
        return self._dest / f".{run_id}.part.jsonl"


@contextmanager
def _local_disk(dest: Path) -> Iterator[None]:
    """Says of a local disk that refuses, that it was the local disk."""
    try:
        yield
    except OSError as e:
        full = e.errno in _DISK_FULL
        raise OperationFailed(
            "local-disk",
            f"{dest} cannot take the results: {e}.",
            "Make room and fetch again; what came is kept."
            if full
            else "Mend it, or point LOCAL_ARTIFACTS_DIR elsewhere, and fetch again.",
        ) from e


def _pieces(files: Sequence[PodFile]) -> Iterator[list[PodFile]]:
    """`files` in streams of bearable length: a broken link costs at most the last one's tail."""
    piece: list[PodFile] = []
    size = 0
    for file in files:
        if piece and (len(piece) >= _BATCH_FILES or size + file.size > _BATCH_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(file)
        size += file.size
    if piece:
        yield piece
