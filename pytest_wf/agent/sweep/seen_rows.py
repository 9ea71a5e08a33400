"""The rows of a campaign as one process has read them, and which of them changed since a version.

A row that has ended does not change any more, nor does a row that has no directory. So a look
reads the rows at work, and those whose directory has come; every row again after another launch,
and now and then, as people move directories.
"""

import os
import time
from collections import OrderedDict
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Set

from pytest_wf.agent.control import launches
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.agent.sweep.row_status import not_selected, row_status
from pytest_wf.wire.files import canonical_json, sha256_bytes
from pytest_wf.wire.rows import CampaignStatus, RowStatus
from pytest_wf.wire.states import NOT_SELECTED, PENDING, ROW_ENDED

#: Seconds between two looks that read every row.
FULL_LOOK_S = 10.0
#: Extremes of metrics, each about 100 bytes, that one answer holds.
MAX_EXTREMES = 50_000
#: Versions that a controller may ask for: it has the last, or the one before a lost answer.
_MOST_VERSIONS = 4


class _Version(NamedTuple):
    number: int
    #: Digest of what is the campaign's own.
    head: str


class SeenRows:
    """The rows of one campaign, in the order of the manifest. Not for several threads at once."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._rows = sorted(campaign.rows, key=lambda row: row.index)
        self._at_rest: Set[int] = set()
        self._taken: Optional[FrozenSet[str]] = None
        self._full_at = 0.0
        self.statuses = [RowStatus(row.run_id, PENDING, row.index) for row in self._rows]
        self._digests = [b""] * len(self._rows)
        #: The version in which each row changed, and in which more than its rates did.
        self._changed = [0] * len(self._rows)
        self._changed_more = [0] * len(self._rows)
        self._number = 0
        self._versions: "OrderedDict[str, _Version]" = OrderedDict()

    def look(self, supervisor: str) -> bool:
        """Read the rows that may have changed; returns whether the runner of any is at work."""
        taken = launches.selected(self._campaign)
        now = time.monotonic()
        reads_all = taken != self._taken or now >= self._full_at
        if reads_all:
            self._at_rest.clear()
            self._taken, self._full_at = taken, now + FULL_LOOK_S
        existing = _directories(self._campaign.settings.outputs)
        self._number += 1
        is_any_alive = False
        for place, row in enumerate(self._rows):
            exists = row.run_id in existing
            if place in self._at_rest or not (reads_all or exists):
                continue
            if taken is None or row.run_id in taken or row.adopted_from:
                found, is_alive = row_status(RowDir(self._campaign, row), supervisor, exists)
                status, is_any_alive = self._bounded(found), is_any_alive or is_alive
            else:
                status = not_selected(row)
            self._take(place, status)
            if status.state in ROW_ENDED or status.state == NOT_SELECTED:
                self._at_rest.add(place)
        return is_any_alive

    def version(self, status: CampaignStatus) -> str:
        """The name of what `status` says, which has these rows; kept for `changes_since`."""
        head = sha256_bytes(canonical_json(status._replace(rows=[], seen="", now="").as_json()))
        seen = sha256_bytes(head.encode() + b"".join(self._digests))
        self._versions[seen] = _Version(self._number, head)
        self._versions.move_to_end(seen)
        while len(self._versions) > _MOST_VERSIONS:
            self._versions.popitem(last=False)
        return seen

    def changes_since(self, seen: Any) -> Optional[List[RowStatus]]:
        """The rows that changed after the version `seen`; None where that is not known any more."""
        version = self._versions.get(seen) if isinstance(seen, str) else None
        if version is None:
            return None
        return [
            status
            for status, changed in zip(self.statuses, self._changed)
            if changed > version.number
        ]

    def is_news(self, seen: Any, now: str) -> bool:
        """Whether more than the rates of rows at work differs between versions `seen` and `now`."""
        before = self._versions.get(seen) if isinstance(seen, str) else None
        if before is None or before.head != self._versions[now].head:
            return True
        return any(changed > before.number for changed in self._changed_more)

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
        self.statuses[place] = status
        self._digests[place] = sha256_bytes(canonical_json(status.as_json())).encode()
        self._changed[place] = self._number
        if not _differ_in_rates_alone(known, status):
            self._changed_more[place] = self._number


def _differ_in_rates_alone(one: RowStatus, other: RowStatus) -> bool:
    rates: Dict[str, Any] = {"live": None, "progress": None}
    return one._replace(**rates) == other._replace(**rates)


def _directories(root: str) -> Set[str]:
    try:
        return {entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()
