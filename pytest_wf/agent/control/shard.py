"""The shard of a campaign: the rows that this pod trains, where several pods share the campaign.

Such a campaign is frozen with the pod's own name among the members and the owners of all rows.
"""

from typing import List, NamedTuple, Optional

from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Args
from pytest_wf.wire import assignment
from pytest_wf.wire.assignment import Assignment
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Malformed, Row


class Shard(NamedTuple):
    """What this pod knows of the owners of a campaign's rows."""

    #: The pod's own name.
    member: str
    owners: Assignment

    def has(self, run_id: str) -> bool:
        """Whether this pod trains the row."""
        return self.owners[run_id].member == self.member

    def split(self, rows: List[Row]) -> List[Row]:
        """Those of `rows` that this pod trains."""
        return [row for row in rows if self.has(row.run_id)]


def of(campaign: Campaign) -> Optional[Shard]:
    """The shard of a campaign; None where this pod trains all of it."""
    return Shard(campaign.member, campaign.assignment) if campaign.member else None


def rows(campaign: Campaign) -> List[Row]:
    """The campaign's rows that this pod trains."""
    found = of(campaign)
    return campaign.rows if found is None else found.split(campaign.rows)


def asked_for(args: Args, all_rows: List[Row]) -> Optional[Shard]:
    """The shard in a start's ``member`` and ``assignment``; None where it has neither.

    Raises Refusal 'manifest' where they do not fit the rows.
    """
    member, owners = args.get("member"), args.get("assignment")
    if member is None and owners is None:
        return None
    try:
        found = Shard(str(member), assignment.read(owners))
    except Malformed as e:
        raise Refusal("manifest", "the assignment of the rows cannot be read: %s" % e) from None
    if not assignment.is_member(member):
        raise Refusal("manifest", "not a member: %.200r" % (member,))
    if found.owners.keys() != {row.run_id for row in all_rows}:
        raise Refusal("manifest", "the assignment is not one of the manifest's rows")
    return found
