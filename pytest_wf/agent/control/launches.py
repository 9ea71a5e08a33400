"""The launches of a campaign: which of its rows each start and each resume took.

The campaign is frozen with all rows. ``launches/<n>.json`` in its folder is written before launch
`n` begins and never changed. A row that no launch took is not selected.
"""

import os
from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple

from pytest_wf.agent.control import control_files, shard
from pytest_wf.agent.control.cost_ceiling import Ceiling
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Args
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row

SCHEMA = 1

# launches do not change once written: a process reads each once
_read: Dict[str, "Launch"] = {}


class Launch(NamedTuple):
    """One launch: the rows that it takes, and how it treats them."""

    #: Run ids in the order in which they begin; None for all rows, in the manifest's order.
    selected: Optional[Tuple[str, ...]] = None
    #: Whether no further row begins after one that failed.
    fail_fast: bool = False
    #: From 1; 0 if it is not recorded.
    number: int = 0
    created_at: str = ""
    flow_id: str = ""
    #: From when no further row begins, because of costs; None for never.
    ceiling: Optional[Ceiling] = None

    def rows(self, campaign_rows: Iterable[Row]) -> List[Row]:
        """Those of a campaign's rows that it takes, in the order in which they begin."""
        if self.selected is None:
            return list(campaign_rows)
        known = {row.run_id: row for row in campaign_rows}
        return [known[run_id] for run_id in self.selected if run_id in known]

    def record(self, folder: str) -> "Launch":
        """Write it as the newest launch of the campaign in `folder`; the launch as written."""
        place = os.path.join(folder, "launches")
        os.makedirs(place, mode=0o700, exist_ok=True)
        made = self._replace(number=max(_numbers(folder), default=0) + 1)
        body = dict(made._asdict(), schema=SCHEMA, ceiling=made.ceiling and made.ceiling.as_json())
        control_files.write(os.path.join(place, "%d.json" % made.number), body)
        return made


def asked_for(args: Args, rows: Iterable[Row], fail_fast: bool) -> Launch:
    """The launch that a request asks for: ``selected`` (null: all), ``fail_fast``, ``ceiling``.

    Raises Refusal 'manifest' for ids that no row has.
    """
    selected = args.get("selected")
    if selected is not None:
        if not isinstance(selected, list) or not all(isinstance(i, str) for i in selected):
            raise Refusal("manifest", "the selection is not a list of run ids")
        unknown = sorted(set(selected) - {row.run_id for row in rows})
        if unknown:
            raise Refusal("manifest", "no row is called %s" % ", ".join(unknown[:20]))
        selected = tuple(dict.fromkeys(selected))
    asked = args.get("fail_fast")
    fail_fast = asked if isinstance(asked, bool) else fail_fast
    return Launch(selected, fail_fast, ceiling=Ceiling.asked_for(args.get("ceiling")))


def newest(campaign: Campaign) -> Launch:
    """The campaign's newest launch; all rows if none is recorded. Raises Refusal."""
    number = last_number(campaign)
    if not number:
        return Launch(fail_fast=campaign.settings.flag("SWEEP_FAIL_FAST"))
    return _load(campaign.folder, number)


def last_number(campaign: Campaign) -> int:
    """The number of the newest launch; 0 if none is recorded."""
    return max(_numbers(campaign.folder), default=0)


def selected(campaign: Campaign, since: int = 1) -> Optional[FrozenSet[str]]:
    """The rows that any launch took, from launch `since` on; None for all.

    An unreadable record counts as a launch of all rows: a row that may have been launched is then
    missing, rather than not selected.
    """
    found: List[str] = []
    numbers = [number for number in _numbers(campaign.folder) if number >= since]
    try:
        for number in numbers:
            taken = _load(campaign.folder, number).selected
            if taken is None:
                return None
            found += taken
    except Refusal:
        return None
    return frozenset(found) if numbers else None


def selected_rows(campaign: Campaign) -> List[Row]:
    """The campaign's rows that any launch took and this pod trains."""
    taken = selected(campaign)
    return [row for row in shard.rows(campaign) if taken is None or row.run_id in taken]


def _numbers(folder: str) -> List[int]:
    try:
        names = os.listdir(os.path.join(folder, "launches"))
    except FileNotFoundError:
        return []
    stems = {name.partition(".")[0] for name in names}  # of a record, or of its copy
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def _load(folder: str, number: int) -> Launch:
    path = os.path.join(folder, "launches", "%d.json" % number)
    known = _read.get(path)
    if known is not None:
        return known
    found = control_files.parsed(path, _of, SCHEMA)
    if found is None:
        raise control_files.Damaged(path, "it is gone")
    _read[path] = found
    return found


def _of(body: Dict[str, Any]) -> Launch:
    taken = body["selected"]
    if taken is not None and not (
        isinstance(taken, list) and all(isinstance(run_id, str) for run_id in taken)
    ):
        raise TypeError("the selection is not a list of run ids")
    return Launch(
        None if taken is None else tuple(taken),
        body["fail_fast"] is True,
        int(body["number"]),
        str(body.get("created_at") or ""),
        str(body.get("flow_id") or ""),
        Ceiling.from_json(body.get("ceiling")),
    )
