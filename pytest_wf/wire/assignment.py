"""Which member of a fleet trains which row of its campaign.

An assignment names an owner for every row: a member and an epoch. It is computed once, by `assign`,
and frozen with the campaign on every member's pod. A row that moves to another member gets a higher
epoch there; of several owners the one with the highest epoch counts.
"""

import re
import sys
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from pytest_wf.wire.rows import Malformed, Row

#: How an owner is known: by the assignment as it was frozen, by a controller that gave the row, or
#: by this pod, which ceded it.
FROZEN, GIVEN, CEDED = "frozen", "given", "ceded"
#: The epoch of every row when its campaign is frozen.
FIRST_EPOCH = 1
#: Names of members: pod1, pod2 and so on.
_MEMBER = re.compile("pod[1-9][0-9]{0,4}")


class Member(NamedTuple):
    """A member of a fleet, as far as it matters for the assignment."""

    name: str
    #: The GPUs of its pod; one without any trains one row at a time.
    gpus: int

    @property
    def capacity(self) -> int:
        """How many GPUs its rows can have at once, a pod without any counting as one."""
        return max(1, self.gpus)


class Owner(NamedTuple):
    """The member that trains a row, from a certain epoch on."""

    member: str
    epoch: int

    @classmethod
    def from_json(cls, value: Any) -> "Owner":
        """The owner in ``[member, epoch]``. Raises Malformed."""
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise Malformed("an owner is not a member and an epoch: %.200r" % (value,))
        member, epoch = value
        if not is_member(member):
            raise Malformed("not a member: %.200r" % (member,))
        if type(epoch) is not int or epoch < FIRST_EPOCH:
            raise Malformed("not an epoch: %.200r" % (epoch,))
        return cls(member, epoch)

    def as_json(self) -> List[Any]:
        """The owner as `from_json` reads it."""
        return [self.member, self.epoch]


#: The owner of each row, by run id.
Assignment = Mapping[str, Owner]
#: The assignment of a campaign that is not shared.
NO_ASSIGNMENT: Assignment = {}


#: The owners of a view of which nothing is known before.
NO_OWNERS: Mapping[str, Tuple[Owner, str]] = {}


class ShardView(NamedTuple):
    """What one member knows of the owners of its campaign's rows."""

    campaign_id: str
    member: str
    #: The owner of each row and how it is known; a row whose owner cannot be read is missing.
    owners: Mapping[str, Tuple[Owner, str]]
    #: The member's own rows that have begun, and therefore stay.
    begun: FrozenSet[str]
    #: The members that may have the campaign; empty if that is not recorded.
    members: FrozenSet[str] = frozenset()

    @property
    def waiting(self) -> Dict[str, int]:
        """The epochs of the member's own rows that have not begun."""
        return {
            run_id: owner.epoch
            for run_id, (owner, _) in self.owners.items()
            if owner.member == self.member and run_id not in self.begun
        }

    @property
    def frozen(self) -> Dict[str, Tuple[Owner, str]]:
        """The owners as they were frozen, for `from_json`."""
        return {run_id: known for run_id, known in self.owners.items() if known[1] == FROZEN}

    @classmethod
    def from_json(
        cls, value: Any, frozen: Mapping[str, Tuple[Owner, str]] = NO_OWNERS
    ) -> "ShardView":
        """The view in a JSON object, with `frozen` of an earlier one if this one has changes only.

        Raises Malformed.
        """
        body = value if isinstance(value, dict) else {}
        rows, begun, member = body.get("rows"), body.get("begun"), body.get("member")
        unreadable = body.get("unreadable", [])
        if (
            not isinstance(rows, dict)
            or not isinstance(begun, list)
            or not isinstance(unreadable, list)
            or not is_member(member)
        ):
            raise Malformed("not what a member knows of the rows' owners")
        left_out = set(map(str, unreadable))
        owners = {run_id: known for run_id, known in frozen.items() if run_id not in left_out}
        # members and epochs are few: each owner is checked, and kept, once
        checked: Dict[str, Tuple[Owner, str]] = {}
        for run_id, known in rows.items():
            text = repr(known)
            if text not in checked:
                checked[text] = _known_owner(run_id, known)
            owners[sys.intern(run_id)] = checked[text]
        if not all(isinstance(run_id, str) and run_id in owners for run_id in begun):
            raise Malformed("rows have begun that are not the campaign's")
        campaign_id, members = str(body.get("campaign_id")), read_members(body.get("members"))
        return cls(campaign_id, str(member), owners, frozenset(begun), frozenset(members))

    def as_json(self) -> Dict[str, Any]:
        """The view as `from_json` reads it."""
        return {
            "campaign_id": self.campaign_id,
            "member": self.member,
            "rows": {run_id: [*owner, how] for run_id, (owner, how) in self.owners.items()},
            "begun": sorted(self.begun),
            "members": sorted(self.members),
        }

    def changes_as_json(self, unreadable: Iterable[str]) -> Dict[str, Any]:
        """The view as `from_json` reads it with `frozen` of an earlier one; `unreadable` are the
        rows whose owner cannot be read now."""
        changed = {run_id: known for run_id, known in self.owners.items() if known[1] != FROZEN}
        return dict(self._replace(owners=changed).as_json(), unreadable=sorted(unreadable))


def _known_owner(run_id: str, known: Any) -> Tuple[Owner, str]:
    """The owner of a row in a view, and how it is known. Raises Malformed."""
    if not isinstance(known, list) or len(known) != 3:
        raise Malformed("row %.200s has no owner: %.200r" % (run_id, known))
    if known[2] not in (FROZEN, GIVEN, CEDED):
        raise Malformed("no owner is known as %.200r" % (known[2],))
    return Owner.from_json(known[:2]), str(known[2])


class Unassignable(ValueError):
    """Rows that ask for more GPUs than any member has."""

    def __init__(self, run_ids: Sequence[str], most: int) -> None:
        self.run_ids = list(run_ids)
        super().__init__(
            "no member has the GPUs of row %s; the largest has %d" % (", ".join(run_ids[:10]), most)
        )


def is_member(name: Any) -> bool:
    """Whether `name` is the name of a member."""
    return isinstance(name, str) and _MEMBER.fullmatch(name) is not None


def assign(
    rows: Iterable[Row],
    members: Sequence[Member],
    gpus_per_run: int = 0,
    kept: Mapping[str, str] = {},
) -> Dict[str, Owner]:
    """The assignment of `rows` to `members`, balanced by their GPUs.

    The rows with the most GPUs come first, else in the manifest's order; each goes to the member
    that then has the least work per GPU, the first one of equals. `gpus_per_run` is for rows that
    name no number; with 0 they take all GPUs of a pod. A row in `kept` stays with the member that
    has its result, and does not count as work. Raises Unassignable; ValueError without members.
    """
    if not members or len({member.name for member in members}) != len(members):
        raise ValueError("there are no members, or they are not distinct")
    work = {member.name: 0 for member in members}
    found: Dict[str, Owner] = {}
    too_large = []
    for row in sorted(rows, key=lambda row: (-(row.gpus or gpus_per_run), row.index)):
        needed = row.gpus or gpus_per_run
        if kept.get(row.run_id) in work:
            found[row.run_id] = Owner(kept[row.run_id], FIRST_EPOCH)
            continue
        able = [member for member in members if needed <= member.capacity]
        if not able:
            too_large.append(row.run_id)
            continue
        load = max(1, needed)
        best = min(able, key=lambda member: (work[member.name] + load) / member.capacity)
        work[best.name] += load
        found[row.run_id] = Owner(best.name, FIRST_EPOCH)
    if too_large:
        raise Unassignable(too_large, max(member.capacity for member in members))
    return found


def read(value: Any) -> Dict[str, Owner]:
    """The assignment in a JSON object. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed("an assignment is not an object")
    return {run_id: Owner.from_json(owner) for run_id, owner in value.items()}


def read_members(value: Any) -> Tuple[str, ...]:
    """The members in a JSON array; none for None. Raises Malformed."""
    names = [] if value is None else value
    if not isinstance(names, list) or not all(is_member(name) for name in names):
        raise Malformed("not a list of members: %.200r" % (value,))
    return tuple(names)


def as_json(assignment: Assignment) -> Dict[str, Any]:
    """The assignment as `read` reads it."""
    return {run_id: owner.as_json() for run_id, owner in assignment.items()}
