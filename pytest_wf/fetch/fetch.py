"""Fetches runs: names and sizes first, every byte verified, the commit record last.

A run is assembled in ``<dest>/.<run_id>.part/`` and put in place by one rename, with
its commit record inside. Files that arrived before a broken link are kept and not requested again.
"""

from __future__ import annotations

import errno
import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pytest_wf.agent.results.checkpoints import Checkpoints
from pytest_wf.console.transfer_meter import Meter
from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.evidence.fetch_record import COMMIT_RECORD, LeftOut
from pytest_wf.fetch import announced_files, local_runs
from pytest_wf.fetch.announced_files import Announced, PodFile, announced_runs, listed_runs
from pytest_wf.fetch.archive_reader import ArchiveReader, is_lasting
from pytest_wf.fetch.local_names import LocalNames
from pytest_wf.fetch.partial_run import PartialRun, part_folder, sync
from pytest_wf.fetch.selection import Selection, differences, select
from pytest_wf.pods.base import EffectLog, NoLog, Stream
from pytest_wf.threads import ThreadPool
from pytest_wf.wire.files import canonical_json, write_atomic
from pytest_wf.wire.ownership import NotOurs

#: The most files that one request asks for.
_BATCH_FILES = 20_000
#: Runs are put in place together, as soon as they have this size.
_COMMIT_FILES = 2000
_COMMIT_BYTES = 256 * 1024 * 1024
#: Consecutive broken links without any received byte.
_IDLE_TRIES = 3
#: How often a run that changes while it is fetched is fetched again.
_TRIES_OF_CHANGED = 3
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: The text on a run that was fetched without the pod's records.
FROM_DIRECTORY = "fetched from its directory, not compared with the pod's records"

T = TypeVar("T")


class Agent(announced_files.Agent, Protocol):
    """The part of `pods.rpc.client.AgentClient` that a fetch needs."""

    def archive(self) -> Stream:
        """Start a stream for files."""

    def archive_request(self, runs: Sequence[tuple[str, Sequence[Sequence[object]]]]) -> bytes:
        """The request for that stream: which files to send."""


@dataclass(frozen=True)
class FetchOptions:
    """Destination, campaign and callbacks of a fetch."""

    dest: Path
    campaign_id: str
    #: The folder of the runs below the pod's outputs directory, ending with '/'.
    pod_folder: str = ""
    #: The flow that fetches, for the commit records.
    flow_id: str = ""
    #: Whether to fetch checkpoints, and their names.
    checkpoints: bool = False
    checkpoint_patterns: Sequence[str] = ()
    #: The campaign that trained a run, for each adopted run.
    adopted: Mapping[str, str] = field(default_factory=dict)
    #: The state of each run that has not ended: it is fetched as it is, and never verified.
    unended: Mapping[str, str] = field(default_factory=dict)
    #: Whether runs are fetched as they are in their directories, whatever the pod's records say;
    #: then they are never verified.
    from_directory: bool = False
    #: The pod's answer with the present listing of exactly the fetched runs; None to ask for it.
    listing: Mapping[str, Any] | None = None
    #: Called with the number of bytes received, and the number expected in total.
    on_bytes: Callable[[int, int], None] | None = None
    #: Records what is put in place.
    log: EffectLog = field(default_factory=NoLog)

    def campaign_of(self, run_id: str) -> str:
        """The campaign that trained a run."""
        return self.adopted.get(run_id, self.campaign_id)

    def problems_of(self, run_id: str) -> tuple[str, ...]:
        """Why a run is not verified, even if all of its files are here."""
        state = self.unended.get(run_id)
        ended = () if state is None else (f"the row had not ended: it was {state}",)
        return (*ended, *((FROM_DIRECTORY,) if self.from_directory else ()))


@dataclass(frozen=True)
class RunFetched:
    """One fetched run."""

    path: Path
    files: int
    bytes: int
    #: Whether all files are here and equal to the pod's, except for checkpoints that were left out
    #: and for empty parts.
    verified: bool
    #: Files on the pod that are not here, including checkpoints.
    left_out: tuple[LeftOut, ...] = ()
    #: Why it is not verified, if no file is the reason.
    problems: tuple[str, ...] = ()
    #: The new place of an earlier copy whose record could not be read, as a sentence; '' for none.
    damaged: str = ""

    @property
    def missing(self) -> list[LeftOut]:
        """Files with content that could not be transferred."""
        return [one for one in self.left_out if one.is_loss]


@dataclass(frozen=True)
class FetchResult:
    """The result of a fetch; `bytes` and `files` count the contents of the runs now."""

    runs: dict[str, RunFetched]
    bytes: int
    files: int


def fetch_runs(client: Agent, run_ids: Sequence[str], options: FetchOptions) -> FetchResult:
    """Fetch `run_ids` to ``<dest>/<run_id>/``; each is put in place as a whole.

    Files that cannot be transferred are named in their run, which is then not verified; the other
    runs are. Raises OperationFailed: 'hostile-answer', 'digest', 'local-disk'; LinkLost if the
    link broke for good. In each case, earlier copies are unchanged, and the files that arrived are
    kept for the next fetch.
    """
    meter = Meter(options.on_bytes)
    fetch = _Fetch(client, options, meter)
    idle = 0
    while waiting := [run_id for run_id in run_ids if run_id not in fetch.done]:
        before = meter.done
        try:
            fetch.carry(waiting)
        except LinkLost:
            idle = 0 if meter.done > before else idle + 1
            if idle >= _IDLE_TRIES:
                raise
        except OperationFailed as e:
            # the earlier part of a file was not the pod's; it was removed, and is requested again
            if not (e.kind == "digest" and e.facts.get("resumed")):
                raise
    done = {run_id: fetch.done[run_id] for run_id in run_ids}
    return FetchResult(
        done, sum(r.bytes for r in done.values()), sum(r.files for r in done.values())
    )


class _Fetch:
    """One fetch, over as many links as needed."""

    def __init__(self, client: Agent, options: FetchOptions, meter: Meter) -> None:
        self._client = client
        self._options = options
        self._dest = options.dest
        self._listing = options.listing
        self._meter = meter
        self._checkpoints = Checkpoints(options.checkpoint_patterns)
        self._names: LocalNames | None = None
        #: Runs that are in place.
        self.done: dict[str, RunFetched] = {}
        #: How often a run has changed while it was fetched.
        self._changed: Counter[str] = Counter()
        #: A stream that has had no request yet.
        self._waiting: Stream | None = None

    def carry(self, run_ids: Sequence[str]) -> None:
        """Fetch `run_ids`; `done` grows as they arrive. A run that changed meanwhile is not
        done, until it has changed too often."""
        try:
            self._carry(run_ids)
        finally:
            if self._waiting is not None:
                self._waiting.close()
                self._waiting = None

    def _carry(self, run_ids: Sequence[str]) -> None:
        with _local_disk(self._dest):
            self._dest.mkdir(parents=True, exist_ok=True)
        with suppress(LinkLost):  # the listing restores the link, or reports that it cannot
            self._waiting = self._client.archive()
        announced = self._listed_first(run_ids)
        with _local_disk(self._dest):
            for run_id in run_ids:
                local_runs.finish(part_folder(self._dest, run_id), self._dest / run_id)
            parts = [PartialRun(self._dest, self._select(of_run)) for of_run in announced]
            self._meter.expect(sum(part.missing_bytes for part in parts))
            for batch in _batches(parts):
                self._carry_batch(batch)

    def _listed_first(self, run_ids: Sequence[str]) -> list[Announced]:
        listing, self._listing = self._listing, None
        if listing is None:
            return self._listed(run_ids)
        return listed_runs(listing, {run_id: run_id for run_id in run_ids})

    def _listed(self, run_ids: Sequence[str]) -> list[Announced]:
        """The pod's present listing of each of `run_ids`."""
        return announced_runs(self._client, run_ids, self._options.pod_folder)

    def _select(self, announced: Announced) -> Selection:
        """Which files of a run to fetch, including checkpoints that are here already."""
        record = self._record(announced.run_id)
        here = {(f["path"], f["bytes"], f.get("mtime_ns")) for f in record["files"]}
        self._names = self._names or LocalNames(self._dest)
        return select(
            announced,
            self._names,
            self._checkpoints,
            lambda f: self._options.checkpoints or (f.path, f.size, f.mtime_ns) in here,
        )

    def _carry_batch(self, parts: Sequence[PartialRun]) -> None:
        coming = []
        for part in parts:
            if local_runs.is_foreign(part.place):
                self.done[part.run_id] = _not_ours(part.place)
                self._meter.spare(part.missing_bytes)
                continue
            needed = part.missing_bytes
            record = self._record(part.run_id)
            same = local_runs.unchanged(part.place, record, part.files)
            if len(same) == len(part.files) and self._says_all(record, part.selection):
                part.forget()
                self.done[part.run_id] = RunFetched(
                    part.place,
                    len(same),
                    part.selection.bytes,
                    record.get("whole") is True,
                    part.selection.left_out,
                )
                self._meter.spare(needed)
                continue
            part.recover()
            part.adopt(same)
            self._meter.spare(needed - part.missing_bytes)
            coming.append(part)
        holes = sum(part.selection.holes for part in coming)
        self._refuse_without_room(sum(part.missing_bytes for part in coming) - holes)
        whole = [part for part in coming if part.is_complete]
        try:
            for files in _chunks([f for part in coming for f in part.missing], _BATCH_FILES):
                self._stream({part.run_id: part for part in coming}, files, whole)
            self._commit(whole)
        finally:
            for part in coming:
                part.close()

    def _record(self, run_id: str) -> Mapping[str, Any]:
        """The earlier commit record of the run, for the campaign that trained it."""
        record = local_runs.record_of(self._dest / run_id)
        if record is None:
            return {"files": []}
        is_its = record.get("campaign_id") == self._options.campaign_of(run_id)
        return record if is_its or self._options.from_directory else {"files": []}

    def _says_all(self, record: Mapping[str, Any], selection: Selection) -> bool:
        """Whether a commit record has everything that it would have now."""
        known: list[list[str]] = [[]]
        if self._options.from_directory:
            known.append(list(self._options.problems_of(selection.run_id)))
        return (
            record.get("problems") in known
            and len(record["files"]) == len(selection.files)
            and record["links"] == selection.links
            and record["folders"] == list(selection.folders)
            and record.get("left_out") == [one.as_json() for one in selection.left_out]
        )

    def _stream(
        self, by_id: Mapping[str, PartialRun], files: Sequence[PodFile], whole: list[PartialRun]
    ) -> None:
        """Fetch `files`. Runs that become complete are put in place, or into `whole`."""
        runs = [(run_id, list(of)) for run_id, of in itertools.groupby(files, lambda f: f.run_id)]
        stream, self._waiting = self._waiting or self._client.archive(), None
        reader = ArchiveReader(stream, self._meter.add, self._options.pod_folder)
        try:
            above = self._options.pod_folder
            asked = [(above + run_id, by_id[run_id].wanted(of_run)) for run_id, of_run in runs]
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
        with ThreadPool(1) as disk:  # the pod lists while the disk writes
            synced = disk.submit(sync, parts)
            now = self._listed([part.run_id for part in parts])
            synced.result()
        runs = {"dest": str(self._dest), "runs": [part.run_id for part in parts]}
        with self._options.log.effect("fetch-commit", runs) as outcome:
            for part, announced in zip(parts, now, strict=True):
                self._commit_one(part, self._select(announced))
            done = [part.run_id for part in parts if part.run_id in self.done]
            outcome["unverified"] = [i for i in done if not self.done[i].verified]
            outcome["changed"] = [part.run_id for part in parts if part.run_id not in self.done]
        parts.clear()

    def _commit_one(self, part: PartialRun, now: Selection) -> None:
        """Write the commit record and put the run in place; not if it has changed
        meanwhile and may yet arrive unchanged."""
        run_id = part.run_id
        torn = {path: r.problem for path, r in part.have.items() if r.problem}
        moved = {**differences(part.selection, now), **torn}
        state = self._options.unended.get(run_id)
        if state is None and any(not is_lasting(why) for why in moved.values()):
            self._changed[run_id] += 1
            if self._changed[run_id] < _TRIES_OF_CHANGED:
                return
        sizes = {file.path: file.size for file in now.files}
        left_out = sorted(
            {*now.left_out, *(LeftOut(path, sizes.get(path, 0), moved[path]) for path in moved)}
        )
        problems = self._options.problems_of(run_id)
        is_whole = not problems and not any(one.is_loss for one in left_out)
        files = part.finish()
        size = sum(part.have[f.path].bytes for f in files)
        self.done[run_id] = RunFetched(
            part.place, len(files), size, is_whole, tuple(left_out), problems
        )
        has_whole = self._record(run_id).get("whole") is True
        if not is_whole and has_whole and not self._options.from_directory:
            return  # an existing copy is replaced only by a verified one
        contents = part.contents(files)
        if not is_whole and not any(contents.values()):
            local_runs.remove(part.folder)  # the pod has no files of it
            part.forget()
            return
        record = {
            "schema": 1,
            "campaign_id": self._options.campaign_of(run_id),
            "flow_id": self._options.flow_id,
            "run_id": run_id,
            "ended": None if self._options.from_directory else state is None,
            "from_directory": self._options.from_directory,
            "whole": is_whole,
            "problems": list(problems),
            "left_out": [one.as_json() for one in left_out],
            "checkpoints": self._options.checkpoints,
            "fetched_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **contents,
        }
        write_atomic(str(part.folder / COMMIT_RECORD), canonical_json(record) + b"\n")
        was_damaged = local_runs.is_damaged(part.place)
        earlier = local_runs.put_in_place(part.folder, part.place)
        if was_damaged:
            why = f"{part.place / COMMIT_RECORD} could not be read; that copy is now {earlier}"
            self.done[run_id] = replace(self.done[run_id], damaged=why)
        part.forget()

    def _refuse_without_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._dest).free
        if needed > free:
            raise OperationFailed(
                "local-disk",
                f"{self._dest} has {free:,} bytes free; the results need {needed:,}.",
                "Make room, or point LOCAL_ARTIFACTS_DIR elsewhere, and fetch again.",
            )


def _not_ours(place: Path) -> RunFetched:
    """A run that is not fetched, as a foreign folder has its name."""
    problem = f"{NotOurs(str(place)).message}; move it away, or point LOCAL_ARTIFACTS_DIR elsewhere"
    return RunFetched(place, 0, 0, False, problems=(problem,))


@contextmanager
def _local_disk(dest: Path) -> Iterator[None]:
    """Report errors of the local disk as such."""
    try:
        yield
    except NotOurs as e:
        raise OperationFailed(e.kind, f"{e.message}.", e.remedy, e.facts) from None
    except OSError as e:
        full = e.errno in _DISK_FULL
        raise OperationFailed(
            "local-disk",
            f"{dest} cannot take the results: {e}.",
            "Make room and fetch again; what arrived is kept."
            if full
            else "Correct it, or point LOCAL_ARTIFACTS_DIR elsewhere, and fetch again.",
        ) from e


def _batches(parts: Sequence[PartialRun]) -> Iterator[list[PartialRun]]:
    """`parts` in groups whose files can be requested at once."""
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
