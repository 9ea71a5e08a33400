"""The rows of a campaign as one process has read them, and which of them changed since a version.

A row that has ended does not change any more, nor does a row that has not begun. So a look reads
the running rows and those that the supervisor names as begun or ended. It reads every row after
another launch, and from time to time, as people move directories.
"""

import os
import time
from collections import Counter, OrderedDict
from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Set

from pytest_wf.agent.control import launches, shard
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.shard import Shard
from pytest_wf.agent.run.executor import Word
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.agent.sweep.cluster import queued
from pytest_wf.agent.sweep.rows.changed_rows import ChangedRows
from pytest_wf.agent.sweep.rows.row_status import not_selected, of_other_pod, row_status
from pytest_wf.wire.files import canonical_json, sha256_bytes
from pytest_wf.wire.rows import CampaignStatus, RowStatus
from pytest_wf.wire.states import PENDING, ROW_SETTLED, RUNNING

#: Seconds between two looks that read every row, and the largest share of the time that these take.
FULL_LOOK_S = 10.0
FULL_SHARE = 0.01
#: Extremes of metrics, each about 100 bytes, that one answer holds.
MAX_EXTREMES = 50_000
#: Versions that a controller may ask for: it has the last, or the one before a lost answer.
_MOST_VERSIONS = 4


class _Version(NamedTuple):
    number: int
    #: Digest of the status without the rows.
    head: str


class SeenRows:
    """The rows of one campaign, in the order of the manifest. Not thread-safe."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._rows = sorted(campaign.rows, key=lambda row: row.index)
        self._places = {row.run_id: place for place, row in enumerate(self._rows)}
        self._hints = ChangedRows(campaign)
        #: Places of the rows that each look reads.
        self._open: Set[int] = set()
        self._at_rest: Set[int] = set()
        #: What a queue said of the rows at the last look.
        self._words: Mapping[str, Word] = {}
        self._launch = -1
        self._taken: Optional[FrozenSet[str]] = None
        self._shard: Optional[Shard] = None
        self._full_at = 0.0
        self.statuses = [RowStatus(row.run_id, PENDING, row.index) for row in self._rows]
        #: How many rows are in each state.
        self.states = Counter({PENDING: len(self._rows)})
        self._digests = [0] * len(self._rows)
        #: Digest of all rows, whatever their order.
        self._digest = 0
        #: The version in which each row changed, by its place; the last to change is at the end.
        self._changed: "OrderedDict[int, int]" = OrderedDict()
        #: The last version with changes other than rates and rows that began.
        self._news = 0
        self._number = 0
        self._versions: "OrderedDict[str, _Version]" = OrderedDict()

    def look(self, supervisor: str) -> bool:
        """Read the rows that may have changed; returns whether the runner of any is at work."""
        self._number += 1
        launch, now = launches.last_number(self._campaign), time.monotonic()
        named, own = self._hints.read(), shard.of(self._campaign)
        is_full = launch != self._launch or _differ(own, self._shard) or now >= self._full_at
        if is_full:
            self._launch, self._shard = launch, own
            self._taken = launches.selected(self._campaign)
            self._at_rest.clear()
            existing = self._existing()
            places = set(range(len(self._rows)))
        elif named is None:
            existing = places = self._existing() - self._at_rest
        else:
            existing = places = self._open | {
                self._places[run_id] for run_id in named if run_id in self._places
            }
        # rows at rest do not change; the directories of the others were looked for above
        places = places | (self._moved_in_queue() - self._at_rest)
        alive = [self._read(place, supervisor, place in existing) for place in sorted(places)]
        if is_full:
            took_s = time.monotonic() - now
            self._full_at = now + max(FULL_LOOK_S, took_s / FULL_SHARE)
        return any(alive)

    def _moved_in_queue(self) -> Set[int]:
        """Places of the rows of which the queue says something else than at the last look."""
        before, self._words = self._words, queued.words(self._campaign)
        return {
            self._places[run_id]
            for run_id, word in self._words.items()
            if run_id in self._places and not word.is_same(before.get(run_id))
        }

    def _existing(self) -> Set[int]:
        """Places of the rows that have a directory."""
        names = _directories(self._campaign.settings.outputs)
        return {self._places[name] for name in names if name in self._places}

    def _read(self, place: int, supervisor: str, exists: bool) -> bool:
        """Read one row; returns whether its runner is at work."""
        row, taken, is_alive = self._rows[place], self._taken, False
        if self._shard is not None and not self._shard.has(row.run_id):
            status = of_other_pod(row, self._shard)
        elif taken is None or row.run_id in taken or row.adopted_from:
            status, is_alive = row_status(
                RowDir(self._campaign, row), supervisor, exists, self._words.get(row.run_id)
            )
            status = self._bounded(status)
        else:
            status = not_selected(row)
        self._take(place, status)
        is_at_rest = status.state in ROW_SETTLED
        (self._at_rest.add if is_at_rest else self._at_rest.discard)(place)
        is_open = exists and not is_at_rest and status.state != PENDING
        (self._open.add if is_open else self._open.discard)(place)
        return is_alive

    def version(self, status: CampaignStatus) -> str:
        """The version of `status`, which has these rows; kept for `changes_since`."""
        head = sha256_bytes(canonical_json(status._replace(rows=[], seen="", now="").as_json()))
        seen = sha256_bytes(b"%s %x" % (head.encode(), self._digest))
        self._versions[seen] = _Version(self._number, head)
        self._versions.move_to_end(seen)
        while len(self._versions) > _MOST_VERSIONS:
            self._versions.popitem(last=False)
        return seen

    def changes_since(self, seen: Any) -> Optional[List[RowStatus]]:
        """The rows that changed after the version `seen`; None if that is no longer known."""
        version = self._versions.get(seen) if isinstance(seen, str) else None
        if version is None:
            return None
        places = []
        for place in reversed(self._changed):
            if self._changed[place] <= version.number:
                break
            places.append(place)
        return [self.statuses[place] for place in sorted(places)]

    def is_news(self, seen: Any, now: str) -> bool:
        """Whether versions `seen` and `now` differ in more than rates and rows that began."""
        before = self._versions.get(seen) if isinstance(seen, str) else None
        if before is None or before.head != self._versions[now].head:
            return True
        return self._news > before.number

    def _bounded(self, row: RowStatus) -> RowStatus:
        """The row with no more extremes and sources than an answer may hold: conditions' first,
        then losses'.

        ``summary.json`` has all of them.
        """
        most = max(8, MAX_EXTREMES // (len(self._rows) or 1))
        if len(row.extremes) <= most:
            return row
        asked = (self._campaign.settings["WF_EXPECT"] + row.expect).casefold()
        order = sorted(
            row.extremes, key=lambda name: (name.casefold() not in asked, "loss" not in name, name)
        )
        kept = order[:most]
        return row._replace(
            extremes={name: row.extremes[name] for name in kept},
            sources={name: row.sources[name] for name in kept if name in row.sources},
        )

    def _take(self, place: int, status: RowStatus) -> None:
        known = self.statuses[place]
        if self._digests[place] and known == status:
            return
        digest = int(sha256_bytes(b"%d " % place + canonical_json(status.as_json())), 16)
        self._digest ^= self._digests[place] ^ digest
        self._digests[place] = digest
        self.states[known.state] -= 1
        self.states[status.state] += 1
        self.statuses[place] = status
        self._changed[place] = self._number
        self._changed.move_to_end(place)
        if not _can_wait(known, status):
            self._news = self._number


def _can_wait(one: RowStatus, other: RowStatus) -> bool:
    """Whether a row only made progress or began, which need not be sent at once."""
    if one.state == PENDING and other.state == RUNNING:
        return True
    rates: Dict[str, Any] = {"live": None, "progress": None}
    return one._replace(**rates) == other._replace(**rates)


def _directories(root: str) -> Set[str]:
    try:
        return {entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()


def _differ(one: Optional[Shard], other: Optional[Shard]) -> bool:
    """Whether the known owners of rows differ."""
    if one is None or other is None:
        return one is not other
    return one is not other and (one.owners, one.unreadable) != (other.owners, other.unreadable)
