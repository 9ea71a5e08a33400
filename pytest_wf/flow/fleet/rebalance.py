"""Decides which rows of a shared campaign move, from the members' records.

A move has two steps. The donor cedes a row that has not begun there, and the receiver gets it.
The controller keeps no record of moves: a row that was ceded, and that its receiver does not have,
is given to it by whichever controller checks next. The rows of a member that is gone are given to
others, at a higher epoch than any that the member may have ceded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pytest_wf.wire.assignment import CEDED, FIRST_EPOCH, Member, Owner, ShardView
from pytest_wf.wire.rows import Row

#: Whether a member answers. One that does not is unknown, and keeps its rows, until it is proved
#: that its pod does not exist any more: then it is gone.
ANSWERS, UNKNOWN, GONE = "answers", "unknown", "gone"
#: The increase of the epoch of a row whose member is gone: the member may have
#: ceded it at the next epoch.
_ABOVE_GONE = 2


class Seen(NamedTuple):
    """A member as its controller sees it."""

    member: Member
    #: One of `ANSWERS`, `UNKNOWN` and `GONE`.
    contact: str
    #: Its record of the rows' owners: now, or in its last answer; None if it never answered.
    view: ShardView | None
    #: Whether it trains rows that it gets: its sweep runs, or has ended and was not stopped.
    is_launched: bool = True
    #: The number of its GPUs without a row; for a pod without GPUs, 1 if no row runs.
    free: int = 0

    @property
    def name(self) -> str:
        """The member's name."""
        return self.member.name


class Cede(NamedTuple):
    """The request to `member` to cede rows, each at its epoch, to another member."""

    member: str
    to: str
    rows: Mapping[str, int]


class Give(NamedTuple):
    """The request to `member` to record owners of rows, and to train its own."""

    member: str
    rows: Mapping[str, Owner]


Step = Cede | Give


class _Known(NamedTuple):
    """The owner of a row with the highest epoch, according to all members."""

    owner: Owner
    #: Whether a member ceded the row to it.
    is_ceded: bool
    #: Whether the owner has recorded it itself.
    is_held: bool = False
    #: Whether members recorded different owners at that epoch: two recoveries were interrupted.
    is_disputed: bool = False


def decide(
    members: Sequence[Seen],
    rows: Iterable[Row],
    gpus_per_run: int = 0,
    done: Collection[str] = (),
    *,
    moves: bool = True,
) -> list[Step]:
    """The next requests, in the order in which they must succeed.

    After one that failed, that kept a row back or whose answer is unknown, the others are not sent:
    ask the members again, and decide again. `done` are rows that need no further training. With
    `moves` false, no row leaves a member that is not gone (`WF_REBALANCE=0`).
    """
    needed = {row.run_id: row.gpus or gpus_per_run for row in sorted(rows, key=lambda r: r.index)}
    known = {run_id: found for run_id in needed if (found := _owner(members, run_id))}
    open_rows = {run_id: found for run_id, found in known.items() if run_id not in done}
    steps = _deliveries(members, open_rows)
    if _all_answer(members):
        steps += _recoveries(members, open_rows, needed)
    return steps or (_moves(members, needed) if moves else [])


def _owner(members: Sequence[Seen], run_id: str) -> _Known | None:
    """The owner of a row according to all members; None if it runs on one that is not gone."""
    found: _Known | None = None
    for seen in members:
        if seen.view is None or run_id not in seen.view.owners:
            continue
        if seen.contact != GONE and run_id in seen.view.begun:
            return None
        owner, how = seen.view.owners[run_id]
        is_ceded, is_held = how == CEDED, owner.member == seen.name
        if found is None or owner.epoch > found.owner.epoch:
            found = _Known(owner, is_ceded, is_held)
        elif owner == found.owner:
            found = _Known(
                owner, found.is_ceded or is_ceded, found.is_held or is_held, found.is_disputed
            )
        elif owner.epoch == found.owner.epoch:
            found = (_Known(owner, is_ceded, is_held) if is_held else found)._replace(
                is_disputed=True
            )
    return found


def _all_answer(members: Sequence[Seen]) -> bool:
    """Whether each member that is not gone answers, so that no owner is hidden."""
    return all(seen.contact != UNKNOWN for seen in members)


def _deliveries(members: Sequence[Seen], known: Mapping[str, _Known]) -> list[Step]:
    """Ceded rows that their receivers do not have."""
    steps: list[Step] = []
    for seen in members:
        lacking = {
            run_id: found.owner
            for run_id, found in known.items()
            if found.is_ceded and found.owner.member == seen.name and _lacks(seen, run_id, found)
        }
        if lacking and seen.contact == ANSWERS:
            steps.append(Give(seen.name, lacking))
    return steps


def _lacks(seen: Seen, run_id: str, found: _Known) -> bool:
    """Whether a member has not recorded the owner of a row."""
    if seen.view is None or run_id not in seen.view.owners:
        return False  # its own record of the row cannot be read
    return seen.view.owners[run_id][0].epoch < found.owner.epoch


def _recoveries(
    members: Sequence[Seen], known: Mapping[str, _Known], needed: Mapping[str, int]
) -> list[Step]:
    """Rows of members that are gone, and unfinished earlier recoveries of them.

    First the others record the new owner, so that a delayed request for an older epoch
    changes nothing when it arrives; then the owner itself does.
    """
    living = [seen for seen in members if seen.contact == ANSWERS]
    gone = {seen.name for seen in members if seen.contact == GONE}
    work = {seen.name: _work(seen, needed) for seen in living}
    owners: dict[str, Owner] = {}
    for run_id, found in known.items():
        owner = found.owner
        if owner.member in gone or (found.is_disputed and not found.is_held):
            able = [s for s in living if s.is_launched and needed[run_id] <= s.member.capacity]
            if not able:
                continue
            best = min(able, key=lambda seen: work[seen.name] / seen.member.capacity)
            work[best.name] += max(1, needed[run_id])
            owners[run_id] = Owner(best.name, owner.epoch + _ABOVE_GONE)
        elif not found.is_ceded and owner.epoch > FIRST_EPOCH:
            owners[run_id] = owner
    return _recorded_first(living, owners)


def _recorded_first(living: Sequence[Seen], owners: Mapping[str, Owner]) -> list[Step]:
    """The requests that record `owners`: with all other members, then with the owners."""
    steps: list[Step] = []
    for is_own in (False, True):
        for seen in living:
            rows = {
                run_id: owner
                for run_id, owner in owners.items()
                if (owner.member == seen.name) is is_own
                and _lacks(seen, run_id, _Known(owner, is_ceded=False))
            }
            if rows:
                steps.append(Give(seen.name, rows))
    return steps


def _work(seen: Seen, needed: Mapping[str, int]) -> int:
    """The work of a member: its rows that have not begun, and its GPUs in use."""
    waiting = seen.view.waiting if seen.view is not None else {}
    in_use = seen.member.capacity - seen.free
    return in_use + sum(max(1, needed[run_id]) for run_id in waiting if run_id in needed)


def _moves(members: Sequence[Seen], needed: Mapping[str, int]) -> list[Step]:
    """Moves from members whose rows wait to members that have none left to begin."""
    steps: list[Step] = []
    waiting = {s.name: _waiting(s, needed) for s in members if s.contact == ANSWERS}
    for idle in members:
        if idle.name not in waiting or waiting[idle.name] or not idle.is_launched:
            continue
        donors = [
            s for s in members if waiting.get(s.name) and not _begins(s, waiting[s.name], needed)
        ]
        donors.sort(key=lambda s: -len(waiting[s.name]) / s.member.capacity)
        for donor in donors:
            rows = _share(donor, idle, waiting[donor.name], needed)
            if rows and donor.view is not None:
                kept = [run_id for run_id in waiting[donor.name] if run_id not in rows]
                waiting[donor.name] = kept
                epochs = donor.view.waiting
                steps.append(Cede(donor.name, idle.name, {i: epochs[i] for i in rows}))
                break
    return steps


def _waiting(seen: Seen, needed: Mapping[str, int]) -> list[str]:
    """The rows of a member that have not begun, in the order in which they will."""
    waiting = seen.view.waiting if seen.view is not None else {}
    return [run_id for run_id in needed if run_id in waiting]


def _begins(seen: Seen, waiting: Sequence[str], needed: Mapping[str, int]) -> bool:
    """Whether the member is about to begin its next row."""
    return seen.is_launched and _gpus(seen, needed[waiting[0]]) <= seen.free


def _gpus(seen: Seen, needed: int) -> int:
    """The number of a member's GPUs that a row takes: all if it names no number."""
    return needed or seen.member.capacity


def _share(donor: Seen, idle: Seen, waiting: Sequence[str], needed: Mapping[str, int]) -> list[str]:
    """The last rows of `donor` that `idle` trains sooner: at least one, at most until both have
    the same work per GPU; all of them if the donor trains none."""
    left = sum(max(1, needed[run_id]) for run_id in waiting)
    found: list[str] = []
    taken = 0
    for run_id in reversed(waiting):
        one = max(1, needed[run_id])
        room = idle.member.capacity if found else idle.free
        if _gpus(idle, needed[run_id]) > room:
            continue
        after = (taken + one) / idle.member.capacity
        if found and donor.is_launched and after > (left - one) / donor.member.capacity:
            break
        found.append(run_id)
        taken, left = taken + one, left - one
    return found
