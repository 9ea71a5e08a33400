"""Results come home: names and sizes first, every byte compared, the record written last.

A run is put together in ``<dest>/.<run_id>.part/`` and takes its place in one rename, with
its commit record inside. What came before a broken link is kept and not asked for again.
"""

from __future__ import annotations

import errno
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pytest_wf.console.transfer_meter import Meter
from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.evidence.fetch_record import COMMIT_RECORD
from pytest_wf.fetch import local_runs
from pytest_wf.fetch.announced_files import PodFile, checked_files, hostile
from pytest_wf.fetch.archive_reader import ArchiveReader
from pytest_wf.fetch.partial_run import PartialRun, sync
from pytest_wf.pods.base import EffectLog, NoLog, Stream
from pytest_wf.wire import operations
from pytest_wf.wire.files import canonical_json, write_atomic
from pytest_wf.wire.ownership import NotOurs

#: So many runs are listed by one request.
_LISTED_RUNS = 200
#: So many files are asked for by one request.
_BATCH_FILES = 20_000
#: Runs are put in place together, as soon as they hold so much.
_COMMIT_FILES = 2000
_COMMIT_BYTES = 256 * 1024 * 1024
#: Broken links in a row that brought nothing.
_IDLE_TRIES = 3
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

T = TypeVar("T")


class Agent(Protocol):
    """What of `pods.rpc.client.AgentClient` a fetch needs."""

    def request(
        self, op: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 60
    ) -> dict[str, Any]:
        """Ask and wait for the answer."""

    def archive(self) -> Stream:
        """Start a stream that will carry files."""

    def archive_request(self, runs: Sequence[tuple[str, Sequence[Sequence[object]]]]) -> bytes:
        """The bytes to write to that stream: which files it shall carry."""


@dataclass(frozen=True)
class FetchOptions:
    """Destination, campaign and callbacks of a fetch."""

    dest: Path
    campaign_id: str
    #: The flow that fetches: the commit records name it.
    flow_id: str = ""
    checkpoints: bool = False
    #: The state of each run that has not ended: it comes as it is, and is never verified.
    unended: Mapping[str, str] = field(default_factory=dict)
    #: Called with the bytes that have come, and the bytes that will have come at the end.
    on_bytes: Callable[[int, int], None] | None = None
    #: Where it is recorded what is put in place.
    log: EffectLog = field(default_factory=NoLog)


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


def fetch_runs(client: Agent, run_ids: Sequence[str], options: FetchOptions) -> FetchResult:
    """Bring `run_ids` to ``<dest>/<run_id>/``, each verified and put in place whole.

    Raises OperationFailed: 'no-such-run', 'hostile-answer', 'digest', 'local-disk'; LinkLost
    where the link broke for good. In each case what was here before is as it was, and what
    came is kept for the next fetch.
    """
    meter = Meter(options.on_bytes)
    fetch = _Fetch(client, options, meter)
    idle = 0
    while True:
        before = meter.done
        try:
            fetch.carry([run_id for run_id in run_ids if run_id not in fetch.done])
            break
        except LinkLost:
            idle = 0 if meter.done > before else idle + 1
            if idle >= _IDLE_TRIES:
                raise
        except OperationFailed as e:
            # what had come of a file before was not the pod's; it is gone, and comes anew
            if not (e.kind == "digest" and e.facts.get("resumed")):
                raise
    done = {run_id: fetch.done[run_id] for run_id in run_ids}
    return FetchResult(
        done, sum(r.bytes for r in done.values()), sum(r.files for r in done.values())
    )


class _Fetch:
    """One fetch, over as many links as it takes."""

    def __init__(self, client: Agent, options: FetchOptions, meter: Meter) -> None:
        self._client = client
        self._options = options
        self._dest = options.dest
        self._meter = meter
        #: Runs that are in place.
        self.done: dict[str, RunFetched] = {}
        #: A stream that was not asked for anything yet.
        self._waiting: Stream | None = None

    def carry(self, run_ids: Sequence[str]) -> None:
        """Bring `run_ids` home; `done` grows as they come."""
        try:
            self._carry(run_ids)
        finally:
            if self._waiting is not None:
                self._waiting.close()
                self._waiting = None

    def _carry(self, run_ids: Sequence[str]) -> None:
        with _local_disk(self._dest):
            self._dest.mkdir(parents=True, exist_ok=True)
        with suppress(LinkLost):  # the listing mends the link, or says that it cannot
            self._waiting = self._client.archive()
        listed = self._listed(run_ids)
        absent = [run_id for run_id in run_ids if run_id not in listed]
        if absent:
            raise OperationFailed(
                "no-such-run",
                f"the pod has no results of {', '.join(absent[:10])}.",
                "Look at `wf sweep-status`.",
                {"absent": absent},
            )
        parts = [
            PartialRun(self._dest, run_id, files, checked_files(run_id, files), left_out)
            for run_id, (files, left_out) in listed.items()
        ]
        self._meter.expect(sum(part.missing_bytes for part in parts))
        with _local_disk(self._dest):
            for batch in _batches(parts):
                self._carry_batch(batch)

    def _listed(self, run_ids: Sequence[str]) -> dict[str, tuple[Any, list[str]]]:
        """What the pod says it has of `run_ids` now: files, and names that cannot be carried."""
        found = {}
        for wanted in _chunks(run_ids, _LISTED_RUNS):
            answer = self._client.request(
                operations.LISTING,
                {"run_ids": wanted, "checkpoints": self._options.checkpoints},
                timeout_s=300,
            )
            listed, left_out = answer.get("runs"), answer.get("left_out", {})
            if not isinstance(listed, dict) or not isinstance(left_out, dict):
                raise hostile("its listing is no list of runs")
            strangers = set(listed) - set(wanted)
            if strangers:
                raise hostile(f"it lists {sorted(strangers)[0]!r}, which was not asked for")
            for run_id in wanted:
                if run_id in listed:
                    refused = left_out.get(run_id, [])
                    if not isinstance(refused, list):
                        raise hostile(f"what it left out of {run_id} is no list")
                    names = [str(name)[:200] for name in refused]
                    found[run_id] = (listed[run_id], names)
        return found

    def _carry_batch(self, parts: Sequence[PartialRun]) -> None:
        coming = []
        for part in parts:
            if local_runs.is_foreign(part.place):
                self.done[part.run_id] = _not_ours(part.place)
                self._meter.spare(part.missing_bytes)
                continue
            if local_runs.finish(part.folder, part.place):
                part.forget()
            needed = part.missing_bytes
            record = self._record(part)
            same = local_runs.unchanged(part.place, record, part.files)
            is_all = len(same) == len(part.files) == len(record["files"])
            if is_all and record.get("whole") is True and not part.left_out:
                size = sum(f.size for f in part.files)
                self.done[part.run_id] = RunFetched(part.place, len(same), size, True)
                self._meter.spare(needed)
                continue
            part.recover()
            part.adopt(same)
            self._meter.spare(needed - part.missing_bytes)
            coming.append(part)
        self._refuse_without_room(sum(part.missing_bytes for part in coming))
        whole = [part for part in coming if part.is_complete]
        try:
            for files in _chunks([f for part in coming for f in part.missing], _BATCH_FILES):
                self._stream({part.run_id: part for part in coming}, files, whole)
            self._commit(whole)
        finally:
            for part in coming:
                part.close()

    def _record(self, part: PartialRun) -> Mapping[str, Any]:
        """What was fetched of the run before, for this campaign."""
        record = local_runs.record_of(part.place)
        if record is None or record.get("campaign_id") != self._options.campaign_id:
            return {"files": []}
        return record

    def _stream(
        self, by_id: Mapping[str, PartialRun], files: Sequence[PodFile], whole: list[PartialRun]
    ) -> None:
        """Bring `files`. Runs that are complete by that are put in place, or into `whole`."""
        runs = [(run_id, list(of)) for run_id, of in itertools.groupby(files, lambda f: f.run_id)]
        stream, self._waiting = self._waiting or self._client.archive(), None
        reader = ArchiveReader(stream, self._meter.add)
        try:
            asked = [(run_id, by_id[run_id].wanted(of_run)) for run_id, of_run in runs]
            stream.write(self._client.archive_request(asked))
            stream.close_stdin()
            for run_id, of_run in runs:
                part = by_id[run_id]
                for come in reader.receive(of_run, part.folder, part.begin):
                    part.keep(come)
                part.close()
                if part.is_complete:
                    whole.append(part)
                if _is_much(whole):
                    self._commit(whole)
            reader.finish(len(files))
        finally:
            reader.close()
            stream.close()

    def _commit(self, parts: list[PartialRun]) -> None:
        """Put complete runs in place, and empty the list."""
        if not parts:
            return
        with ThreadPoolExecutor(1) as disk:  # while it writes, the pod lists
            synced = disk.submit(sync, parts)
            now = self._listed([part.run_id for part in parts])
            synced.result()
        runs = {"dest": str(self._dest), "runs": [part.run_id for part in parts]}
        with self._options.log.effect("fetch-commit", runs) as outcome:
            for part in parts:
                files, _ = now.get(part.run_id, ([], []))
                self.done[part.run_id] = self._commit_one(part, files)
            outcome["unverified"] = [p.run_id for p in parts if not self.done[p.run_id].verified]
        parts.clear()

    def _commit_one(self, part: PartialRun, now: object) -> RunFetched:
        """Write the commit record and put the run in its place."""
        problems = _problems(part, now)
        if part.run_id in self._options.unended:
            problems += (f"the row had not ended: it was {self._options.unended[part.run_id]}",)
        size = sum(received.bytes for received in part.have.values())
        fetched = RunFetched(part.place, len(part.files), size, not problems, problems)
        if problems and self._record(part).get("whole") is True:
            return fetched  # what is here is replaced by something verified only
        record = {
            "schema": 1,
            "campaign_id": self._options.campaign_id,
            "flow_id": self._options.flow_id,
            "run_id": part.run_id,
            "ended": part.run_id not in self._options.unended,
            "whole": not problems,
            "problems": list(problems),
            "checkpoints": self._options.checkpoints,
            "fetched_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "files": [
                {
                    "path": f.path,
                    "bytes": part.have[f.path].bytes,
                    "sha256": part.have[f.path].sha256,
                    # the stamp of a file that changed while it was sent says nothing of these bytes
                    "mtime_ns": f.mtime_ns if part.have[f.path].whole else None,
                }
                for f in part.files
            ],
        }
        write_atomic(str(part.folder / COMMIT_RECORD), canonical_json(record) + b"\n")
        local_runs.put_in_place(part.folder, part.place)
        part.forget()
        return fetched

    def _refuse_without_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._dest).free
        if needed > free:
            raise OperationFailed(
                "local-disk",
                f"{self._dest} has {free:,} bytes free; the results need {needed:,}.",
                "Make room, or point LOCAL_ARTIFACTS_DIR elsewhere, and fetch again.",
            )


def _not_ours(place: Path) -> RunFetched:
    """A run that is not fetched, as its place is taken."""
    problem = f"{NotOurs(str(place)).message}; move it away, or point LOCAL_ARTIFACTS_DIR elsewhere"
    return RunFetched(place, 0, 0, False, (problem,))


def _problems(part: PartialRun, now: object) -> tuple[str, ...]:
    """Why a run is not verified: what did not stay as it was while the run was fetched."""
    torn = sorted(path for path, received in part.have.items() if not received.whole)
    changed: list[str] = []
    if now != part.announced:
        differing = set(part.files) ^ set(checked_files(part.run_id, now))
        changed = sorted({file.path for file in differing} - set(torn))
    return (
        *(f"{path} changed while it was sent" for path in torn),
        *(f"{path} changed while the run was fetched" for path in changed),
        *(f"{name} has a name that cannot be carried" for name in part.left_out),
    )


@contextmanager
def _local_disk(dest: Path) -> Iterator[None]:
    """Says of a local disk that refuses, that it was the local disk."""
    try:
        yield
    except NotOurs as e:
        raise OperationFailed(e.kind, f"{e.message}.", e.remedy, e.facts) from None
    except OSError as e:
        full = e.errno in _DISK_FULL
        raise OperationFailed(
            "local-disk",
            f"{dest} cannot take the results: {e}.",
            "Make room and fetch again; what came is kept."
            if full
            else "Mend it, or point LOCAL_ARTIFACTS_DIR elsewhere, and fetch again.",
        ) from e


def _batches(parts: Sequence[PartialRun]) -> Iterator[list[PartialRun]]:
    """`parts` in groups whose files can be asked for at once."""
    batch: list[PartialRun] = []
    count = 0
    for part in parts:
        if batch and count + len(part.files) > _BATCH_FILES:
            yield batch
            batch, count = [], 0
        batch.append(part)
        count += len(part.files)
    if batch:
        yield batch


def _chunks(things: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(things), size):
        yield list(things[start : start + size])


def _is_much(parts: Sequence[PartialRun]) -> bool:
    files = [f for part in parts for f in part.files]
    return len(files) >= _COMMIT_FILES or sum(f.size for f in files) >= _COMMIT_BYTES
