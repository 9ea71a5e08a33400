"""Which member of a fleet trains which row of its campaign.

An assignment names an owner for every row: a member and an epoch. It is computed once, by `assign`,
and frozen with the campaign on every member's pod. A row that moves to another member gets a higher
epoch there; of several owners the one with the highest epoch counts.
"""

import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence

from pytest_wf.wire.rows import Malformed, Row

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
#: That of a campaign which is not shared.
NO_ASSIGNMENT: Assignment = {}


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
    that then has the least work for each of its GPUs, the first such one. `gpus_per_run` is for
    rows that name no number; with 0 they take all GPUs of a pod. A row in `kept` stays with the
    member that has its result, and is no work. Raises Unassignable; ValueError without members.
    """
    if not members or len({member.name for member in members}) != len(members):
        raise ValueError("the members are none, or not distinct")
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


def as_json(assignment: Assignment) -> Dict[str, Any]:
    """The assignment as `read` reads it."""
    return {run_id: owner.as_json() for run_id, owner in assignment.items()}
