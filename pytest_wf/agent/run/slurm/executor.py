"""The executor of a cluster: rows are tasks of job arrays, and Slurm says which are alive."""

import os
import stat
import time
from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.executor import Handle, QueueExecutor, Word
from pytest_wf.agent.run.slurm import chunks, client, node_probe, script
from pytest_wf.agent.run.slurm.chunks import Chunk
from pytest_wf.agent.run.slurm.client import Silent, Task
from pytest_wf.agent.run.slurm.words import word_of
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row
from pytest_wf.wire.safe_text import excerpt
from pytest_wf.wire.states import PENDING, UNKNOWN

#: One listing is used for so many seconds, and for twenty times as long as it took; at most for
#: `MOST_S`.
LISTING_S = 1.0
MOST_S = 10.0
_SHARE = 20
#: Seconds that `scancel` may take besides the grace of the trainers.
_CANCEL_S = 30.0
#: The most bytes that are read of a job's output.
_SAID_BYTES = 2000

_ABSENT = Word("", "Slurm does not know its job any more")
_NEW = Word(PENDING, "waits for Slurm: it was submitted just now")
_NOT_SUBMITTED = Word("", "its job array was not submitted; resume the campaign")


class _Listing(NamedTuple):
    """The output of `squeue` for the arrays of one campaign; None if it gave no answer."""

    #: By the number of the array and the index in it, or `client.REST`.
    tasks: Optional[Dict[Tuple[int, int], Task]]
    why: str
    until: float
    #: Numbers of the arrays that had been submitted before it was made.
    asked: FrozenSet[int]


#: The last listing of each campaign, by its folder.
_listings: Dict[str, _Listing] = {}


class SlurmExecutor(QueueExecutor):
    """Submits rows as job arrays, and asks one batched `squeue` about all of them."""

    _limits: Optional[client.Limits] = None

    def capacity(self) -> int:
        """How many GPUs a node of the partition has at most."""
        return self._known_limits().gpus(script.partition_of(self.settings))

    def facts(self) -> Dict[str, Any]:
        """Version, limits and partitions of the cluster, and the most GPUs that a node has."""
        return {"slurm": dict(self._known_limits()._asdict(), gpus=self.capacity())}

    def probe(self) -> Dict[str, Any]:
        """Facts about a compute node of the partition, from a short job that checks its disk."""
        return {"compute": node_probe.ask(self.settings)}

    def is_alive(self, handle: Handle) -> bool:
        """Whether the job that began the attempt waits or runs; True if that is not known."""
        folder, number, index = handle.get("campaign"), handle.get("chunk"), handle.get("index")
        if not isinstance(folder, str):
            return False  # not one of ours
        listing = _listing(folder)
        if listing.tasks is None:
            return True
        task = listing.tasks.get((int(number or 0), int(index or 0)))
        return task is not None and word_of(task.state).is_open

    def cancel(
        self,
        cookie: str,  # noqa: ARG002 - a job is ended whole
        handle: Optional[Handle],
        grace_s: float,
    ) -> List[int]:
        """`scancel` the job of an attempt, and wait for its end."""
        if handle is None or not self.is_alive(handle):
            return []  # a job records itself before it begins
        array, index = int(handle["array"]), int(handle["index"])
        try:
            client.cancel_task(array, index)
        except Silent:
            return [array]
        deadline = time.monotonic() + grace_s + _CANCEL_S
        while self.is_alive(handle):
            if time.monotonic() > deadline:
                return [array]
            time.sleep(0.2)
            _listings.clear()
        return []

    def submit(self, campaign: Campaign, rows: Sequence[Row]) -> None:
        """Record arrays for rows that are not in the queue, then submit those without an id."""
        require_secret_file(campaign.settings)
        known = chunks.recorded(campaign.folder)
        words = self.words(campaign)
        open_rows = {run_id for run_id, word in words.items() if word.is_open}
        waiting = {i for chunk in known if chunk.job is None for i in chunk.run_ids}
        new = [row for row in rows if row.run_id not in open_rows | waiting]
        if new:
            most = min(chunks.MOST, self._known_limits().max_array - 1)
            first = max((chunk.number for chunk in known), default=0) + 1
            planned = chunks.planned(campaign, new, most, first)
            for chunk in planned:
                chunk.save(campaign.folder)
        else:
            planned = []
        try:
            for chunk in known:
                if chunk.job is None:
                    self._submit(campaign, chunk, client.array_called(chunk.name))
            for chunk in planned:
                self._submit(campaign, chunk)
        except Silent as e:
            raise _refused(e) from None
        _listings.pop(campaign.folder, None)

    def words(self, campaign: Campaign) -> Mapping[str, Word]:
        """The state of each row's newest job, from `squeue`."""
        known = chunks.recorded(campaign.folder)
        listing = _listing(campaign.folder)
        return {
            run_id: _word(listing, chunk, index)
            for run_id, (chunk, index) in chunks.places(known).items()
        }

    def said(self, campaign: Campaign, run_id: str) -> str:
        """The end of the log of its task."""
        placed = chunks.places(chunks.recorded(campaign.folder)).get(run_id)
        if placed is None:
            return ""
        chunk, index = placed
        try:
            with open(chunks.log_of(campaign.folder, chunk.number, str(index)), "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _SAID_BYTES))
                return excerpt(log.read().decode("utf-8", "replace").strip())
        except OSError:
            return ""

    def withdraw(self, campaign: Campaign, *, waiting_only: bool) -> None:
        """`scancel` the campaign's arrays by name."""
        names = [chunk.name for chunk in chunks.recorded(campaign.folder)]
        try:
            client.cancel(names, *(["--state=PENDING"] if waiting_only else []))
        except Silent as e:
            raise _refused(e) from None
        _listings.pop(campaign.folder, None)

    def _submit(self, campaign: Campaign, chunk: Chunk, job: Optional[int] = None) -> None:
        """Submit an array, unless an earlier try, whose answer was lost, made `job`."""
        if job is None:
            path = script.write(campaign, chunk)
            job = client.submit(script.options(campaign, chunk), path)
        chunk._replace(job=job).save(campaign.folder)

    def _known_limits(self) -> client.Limits:
        if self._limits is None:
            try:
                self._limits = client.limits()
            except Silent as e:
                raise _refused(e) from None
        return self._limits


def require_secret_file(settings: Settings) -> None:
    """Raise Refusal 'launch' unless `WF_SLURM_SECRET_FILE` is readable by this user alone."""
    path = settings.get("WF_SLURM_SECRET_FILE", "")
    if not path:
        return
    try:
        info = os.stat(path)
    except OSError as e:
        why = "cannot be read: %s" % e.strerror
    else:
        is_own = info.st_uid == os.getuid() and stat.S_ISREG(info.st_mode)
        if is_own and not stat.S_IMODE(info.st_mode) & 0o077:
            return
        why = "is not a file that its owner, and no one else, can read"
    raise Refusal(
        "launch",
        "WF_SLURM_SECRET_FILE=%s %s" % (path, why),
        "Write it on the cluster's shared disk, and `chmod 600` it.",
    )


def _listing(folder: str) -> _Listing:
    """The listing of the arrays of the campaign in `folder`, kept for a while."""
    known = _listings.get(folder)
    began = time.monotonic()
    if known is not None and began < known.until:
        return known
    known_chunks = chunks.recorded(folder)
    numbers = {chunk.name: chunk.number for chunk in known_chunks}
    asked = frozenset(chunk.number for chunk in known_chunks if chunk.job is not None)
    tasks: Optional[Dict[Tuple[int, int], Task]] = None
    why = ""
    try:
        found = client.tasks(numbers)
        tasks = {(numbers[task.name], task.index): task for task in found if task.name in numbers}
    except Silent as e:
        why = str(e)
    took_s = time.monotonic() - began
    kept_s = max(LISTING_S, min(MOST_S, _SHARE * took_s))
    _listings[folder] = made = _Listing(tasks, why, began + took_s + kept_s, asked)
    return made


def _word(listing: _Listing, chunk: Chunk, index: int) -> Word:
    if listing.tasks is None:
        return Word(UNKNOWN, "Slurm does not answer: %s" % listing.why)
    task = listing.tasks.get((chunk.number, index)) or listing.tasks.get(
        (chunk.number, client.REST)
    )
    if task is not None:
        word = word_of(task.state, task.reason)
        if word.is_open or task.ended_at is None:
            return word  # of a running job it is the latest end that it may have
        return word._replace(ended_s=time.time() - task.ended_at)
    if chunk.job is None:
        return _NOT_SUBMITTED
    return _ABSENT if chunk.number in listing.asked else _NEW


def _refused(why: Silent) -> Refusal:
    return Refusal(
        "remote-failed",
        "Slurm did not carry out the request: %s" % why,
        "Look at `sinfo` and `squeue` on the login node, then go on with `--wf-sweep=resume`.",
    )
