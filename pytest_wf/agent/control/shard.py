"""The shard of a campaign: the rows that this pod trains, if several pods share the campaign.

Such a campaign is frozen with the pod's own name among the members and the owners of all rows. Each
later change is a file in the campaign's folder, written once under `lock_path`:
``claims/<run>.<epoch>`` says that a row of this pod has begun, or to which member it was ceded.
``given/<run>.<epoch>`` says that a row belongs to a member, this or another one, from that epoch
on.
"""

import os
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    TypeVar,
)

from pytest_wf.agent.control import control_files
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Args
from pytest_wf.wire import assignment
from pytest_wf.wire.assignment import CEDED, FROZEN, GIVEN, Assignment, Owner, ShardView
from pytest_wf.wire.files import COPY
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Malformed, Row

SCHEMA = 1
#: The two kinds of files.
CLAIMS, GIVEN_ROWS = "claims", "given"
BEGUN = "begun"

T = TypeVar("T")
#: A row and an epoch: what a file is about.
Key = Tuple[str, int]


class Shard(NamedTuple):
    """What this pod knows of the owners of a campaign's rows."""

    #: The pod's own name.
    member: str
    owners: Assignment
    #: Own rows that have begun, or whose result was adopted.
    begun: FrozenSet[str] = frozenset()
    #: How each owner that is not the frozen one is known: 'given' or 'ceded'.
    sources: Mapping[str, str] = {}
    #: Rows whose owner is not known, as a file about them is damaged, and the reasons.
    unreadable: Mapping[str, str] = {}
    #: The members that may have the campaign; none if that is not recorded.
    members: Tuple[str, ...] = ()

    def has(self, run_id: str) -> bool:
        """Whether this pod trains the row."""
        return self.owners[run_id].member == self.member and run_id not in self.unreadable

    def split(self, rows: List[Row]) -> List[Row]:
        """Those of `rows` that this pod trains."""
        return [row for row in rows if self.has(row.run_id)]

    def view(self, campaign_id: str) -> ShardView:
        """The shard as a controller gets it."""
        known = {
            run_id: (owner, self.sources.get(run_id, FROZEN))
            for run_id, owner in self.owners.items()
            if run_id not in self.unreadable
        }
        return ShardView(campaign_id, self.member, known, self.begun, frozenset(self.members))


# the shard of each campaign as last read, and the names of the files that it was read from
_known: Dict[str, Tuple[FrozenSet[str], Shard]] = {}
# such files do not change once written: a process reads each once
_read: Dict[str, Any] = {}


def of(campaign: Campaign) -> Optional[Shard]:
    """The shard of a campaign; None if this pod trains all of it."""
    if not campaign.member:
        return None
    names = frozenset(
        os.path.join(kind, name)
        for kind in (CLAIMS, GIVEN_ROWS)
        for name in _names(os.path.join(campaign.folder, kind))
    )
    known = _known.get(campaign.folder)
    if known is None or known[0] != names or known[1].members != campaign.members:
        known = (names, _folded(campaign, names))
        _known.clear()
        _known[campaign.folder] = known
    return known[1]


def rows(campaign: Campaign) -> List[Row]:
    """The campaign's rows that this pod trains."""
    found = of(campaign)
    return campaign.rows if found is None else found.split(campaign.rows)


def lock_path(campaign: Campaign) -> str:
    """Path of the lock that claiming, ceding or giving a row of the campaign holds."""
    return os.path.join(campaign.folder, "claims.lock")


def write(campaign: Campaign, kind: str, key: Key, body: Dict[str, Any]) -> None:
    """Write the file of a row and an epoch, which must not exist; the caller holds the lock."""
    folder = os.path.join(campaign.folder, kind)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    control_files.write(os.path.join(folder, "%s.%d" % key), dict(body, schema=SCHEMA))


def asked_for(args: Args, all_rows: List[Row]) -> Optional[Shard]:
    """The shard in a start's ``member``, ``assignment`` and ``members``; None if it has none.

    Raises Refusal 'manifest' if they do not fit the rows.
    """
    member, owners = args.get("member"), args.get("assignment")
    if member is None and owners is None:
        return None
    try:
        members = assignment.read_members(args.get("members"))
        found = Shard(str(member), assignment.read(owners), members=members)
    except Malformed as e:
        raise Refusal("manifest", "the assignment of the rows cannot be read: %s" % e) from None
    if not assignment.is_member(member):
        raise Refusal("manifest", "not a member: %.200r" % (member,))
    if found.owners.keys() != {row.run_id for row in all_rows}:
        raise Refusal("manifest", "the assignment is not one of the manifest's rows")
    return found


def record_members(campaign: Campaign, args: Args) -> None:
    """Record the ``members`` of a launch, if it names them and some have refused the campaign.

    Raises Refusal 'manifest' if they cannot be read.
    """
    try:
        members = assignment.read_members(args.get("members"))
    except Malformed as e:
        raise Refusal("manifest", str(e)) from None
    if campaign.member in members and set(members) < set(campaign.members):
        campaign._replace(members=members).save()


def _folded(campaign: Campaign, names: FrozenSet[str]) -> Shard:
    """The owners by all files: of several for one row, the file with the highest epoch counts."""
    owners, sources, unreadable = dict(campaign.assignment), {}, {}
    begun = {row.run_id for row in campaign.rows if row.adopted_from}
    claims: Dict[Key, Optional[Owner]] = {}
    for name in sorted({name[: -len(COPY)] if name.endswith(COPY) else name for name in names}):
        kind, key = os.path.dirname(name), _key(os.path.basename(name))
        if key is None or key[0] not in owners:
            continue
        run_id = key[0]
        try:
            if kind == GIVEN_ROWS:
                owner: Optional[Owner] = _load(
                    campaign, name, lambda b: Owner.from_json(b["owner"])
                )
            else:
                owner = claims[key] = _load(campaign, name, _claimed)
        except control_files.Damaged as e:
            unreadable[run_id] = e.message
            continue
        if owner is not None and owner.epoch > owners[run_id].epoch:
            owners[run_id] = owner
            sources[run_id] = GIVEN if kind == GIVEN_ROWS else CEDED
    begun |= {
        run_id
        for (run_id, epoch), ceded_to in claims.items()
        if ceded_to is None and owners[run_id] == (campaign.member, epoch)
    }
    own = {run_id for run_id in begun if owners[run_id].member == campaign.member}
    members = campaign.members
    return Shard(campaign.member, owners, frozenset(own), sources, unreadable, members)


def _given(body: Dict[str, Any]) -> Owner:
    """The owner of a row from the epoch of its file on."""
    return Owner.from_json(body["owner"])


def _claimed(body: Dict[str, Any]) -> Optional[Owner]:
    """The member to which a claim ceded its row; None if the row has begun."""
    if body["claim"] == BEGUN:
        return None
    if body["claim"] != CEDED:
        raise ValueError("not a claim")
    return Owner.from_json(body["owner"])


def _load(campaign: Campaign, name: str, parse: Callable[[Dict[str, Any]], T]) -> T:
    path = os.path.join(campaign.folder, name)
    if path not in _read:
        found = control_files.parsed(path, _in_tuple(parse), SCHEMA)
        if found is None:
            raise control_files.Damaged(path, "it is gone")
        _read[path] = found[0]
    loaded: T = _read[path]
    return loaded


def _in_tuple(parse: Callable[[Dict[str, Any]], T]) -> Callable[[Dict[str, Any]], Tuple[T]]:
    """`parse` with its value in a tuple, so that None is a value."""
    return lambda body: (parse(body),)


def _key(name: str) -> Optional[Key]:
    run_id, _, epoch = name.rpartition(".")
    return (run_id, int(epoch)) if run_id and epoch.isdecimal() else None


def _names(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
