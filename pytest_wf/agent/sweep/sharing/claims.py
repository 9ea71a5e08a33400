"""Exclusive claims on the rows of a shared campaign.

A row of this pod either begins here or is ceded to another member, never both. The file that is
written first decides: both cases write the same file, under one lock.
"""

from typing import Dict, Mapping, NamedTuple

from pytest_wf.agent.control import lease, locks, shard
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Session
from pytest_wf.agent.control.shard import BEGUN, CLAIMS, GIVEN_ROWS, Shard
from pytest_wf.wire.assignment import CEDED, Assignment, Owner

#: Why a row is not ceded, or not given.
MOVED = "moved"


class Moved(Exception):
    """A row that was about to begin belongs to another pod."""


class Ceded(NamedTuple):
    """The result of ceding rows."""

    #: The rows that now belong to another member.
    ceded: Dict[str, Owner]
    #: Why each other row does not: 'begun', or 'moved' if it is not this pod's at that epoch.
    kept: Dict[str, str]


class Given(NamedTuple):
    """The result of giving rows."""

    #: The rows whose owner is as given; of these `new` were not so before.
    known: Dict[str, Owner]
    new: Dict[str, Owner]
    #: Why each other row is not: 'begun' here, or 'moved' at the same epoch or a higher one.
    kept: Dict[str, str]


def begin(campaign: Campaign, run_id: str) -> None:
    """Claim a row that is about to begin, unless it was begun before. Raises Moved, OSError.

    Does nothing if the campaign is not shared.
    """
    if not campaign.member:
        return
    with locks.locked(shard.lock_path(campaign)):
        found = _shard(campaign)
        owner = found.owners[run_id]
        if not found.has(run_id):
            raise Moved("row %s is with %s" % (run_id, owner.member))
        if run_id not in found.begun:
            shard.write(campaign, CLAIMS, (run_id, owner.epoch), {"claim": BEGUN})


def cede(session: Session, campaign: Campaign, rows: Mapping[str, int], to: str) -> Ceded:
    """Cede rows of this pod, each at its epoch, to another member at the next epoch.

    Raises Refusal 'lease-lost' if another controller has taken the pod.
    """
    ceded, kept = {}, {}
    with locks.locked(shard.lock_path(campaign)):
        lease.fence(session.settings, session.token)
        found = _shard(campaign)
        for run_id, epoch in rows.items():
            after = Owner(to, epoch + 1)
            if run_id in found.begun:
                kept[run_id] = BEGUN
            elif found.owners[run_id] == (found.member, epoch) and found.has(run_id):
                body = {"claim": CEDED, "owner": after.as_json()}
                shard.write(campaign, CLAIMS, (run_id, epoch), body)
                ceded[run_id] = after
            elif found.owners[run_id] == after:
                ceded[run_id] = after
            else:
                kept[run_id] = MOVED
    return Ceded(ceded, kept)


def given(campaign: Campaign, rows: Assignment) -> Given:
    """What `give` would do with `rows`; changes nothing."""
    found, what = _shard(campaign), Given({}, {}, {})
    for run_id, owner in rows.items():
        now = found.owners[run_id]
        if owner == now:
            what.known[run_id] = owner
        elif run_id in found.begun:
            what.kept[run_id] = BEGUN
        elif owner.epoch > now.epoch and run_id not in found.unreadable:
            what.known[run_id] = what.new[run_id] = owner
        else:
            what.kept[run_id] = MOVED
    return what


def give(session: Session, campaign: Campaign, rows: Assignment) -> Given:
    """Record the owners of rows, each from its epoch on. Raises Refusal 'lease-lost'."""
    with locks.locked(shard.lock_path(campaign)):
        lease.fence(session.settings, session.token)
        what = given(campaign, rows)
        for run_id, owner in what.new.items():
            key = (run_id, owner.epoch)
            shard.write(campaign, GIVEN_ROWS, key, {"owner": owner.as_json()})
    return what


def _shard(campaign: Campaign) -> Shard:
    found = shard.of(campaign)
    assert found is not None  # callers pass only shared campaigns
    return found
