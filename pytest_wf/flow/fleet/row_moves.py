"""Moves rows between members: sends the requests of `rebalance.decide` to the pods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from pytest_wf.errors import OperationFailed, PodGone, WfError
from pytest_wf.flow.fleet import rebalance
from pytest_wf.flow.fleet.forgotten import is_forgotten
from pytest_wf.flow.fleet.rebalance import ANSWERS, GONE, UNKNOWN, Cede, Give, Seen, Step
from pytest_wf.flow.fleet.work import side_by_side
from pytest_wf.flow.operations.sweep import status_of
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import assignment, fsm, operations
from pytest_wf.wire.assignment import Member, Owner, ShardView
from pytest_wf.wire.rows import CampaignStatus, Malformed, Row, listed
from pytest_wf.wire.states import NOT_SELECTED, ROW_ENDED, ROW_IN_PROGRESS

#: How long one pod is waited for, as the flow also waits for the others' rows.
PATIENCE_S = 10.0
#: The most rounds of requests and moves in one check.
_ROUNDS = 8
#: States of a pod whose sweep accepts rows.
_LAUNCHED = (fsm.SWEEP_RUNNING, fsm.SWEEP_COMPLETED, fsm.ARTIFACTS_SYNCED)


@dataclass
class Partner:
    """A member, for moving rows."""

    name: str
    #: The session with its pod; None if it was not bound.
    session: PodSession | None
    gpus: int
    #: Whether its pod takes part in the sweep; otherwise it gets no rows.
    takes_part: bool = True
    #: Its record of the rows' owners in its last answer.
    view: ShardView | None = None
    #: The owners as they were frozen, by its first answer; later ones leave them out.
    frozen: Mapping[str, tuple[Owner, str]] = field(default_factory=dict)
    contact: str = UNKNOWN
    #: What proved that its pod is gone, as its session says; '' for nothing.
    why_gone: str = ""


@dataclass
class RowMoves:
    """Moves rows of one campaign between its members.

    All state is on the pods: another controller can continue at any time.
    """

    root: str
    campaign_id: str
    partners: Sequence[Partner]
    rows: Sequence[Row]
    #: GPUs of a row that names no number (GPUS_PER_RUN).
    gpus_per_run: int
    #: Whether rows leave members that are not gone (WF_REBALANCE).
    moves: bool
    secrets: Mapping[str, str]
    say: Callable[[str], None]
    #: The shortest time between two checks of the members while the flow waits for rows.
    look_s: float = 5.0
    #: Whether the leases of the pods are held; a plan alone needs none.
    holds_lease: bool = True
    #: The known owners of the rows.
    owners: dict[str, Owner] = field(default_factory=dict)
    #: Owners of the rows that were moved here.
    moved: dict[str, Owner] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    @classmethod
    def of_sessions(
        cls,
        sessions: Mapping[str, PodSession],
        secrets: Mapping[str, str],
        say: Callable[[str], None],
        *,
        holds_lease: bool,
    ) -> RowMoves:
        """For the pods of a command, by the campaign of the first one that answers.

        Raises OperationFailed('no-campaign') if no pod answers that has one.
        """
        answers = side_by_side({name: partial(_answer_of, one) for name, one in sessions.items()})
        statuses = {n: one for n, one in answers.items() if isinstance(one, CampaignStatus)}
        if not statuses:
            problems = [f"{name}: {error}" for name, error in answers.items()]
            raise OperationFailed("no-campaign", f"no pod has a campaign: {'; '.join(problems)}.")
        first, status = next(iter(statuses.items()))
        of_first = sessions[first]
        args = {"campaign_id": status.campaign_id}
        frozen = of_first.request(operations.MANIFEST, args)
        return cls(
            root=str(of_first.project.root),
            campaign_id=status.campaign_id,
            partners=[
                Partner(name, session, _gpus_of(session) if name in statuses else 0)
                for name, session in sessions.items()
            ],
            rows=listed(frozen, "rows", Row.from_json),
            gpus_per_run=of_first.config.gpus_per_run or 0,
            moves=True,
            secrets=secrets,
            say=say,
            holds_lease=holds_lease,
        )

    def statuses(self) -> dict[str, CampaignStatus]:
        """The statuses of the members that answer soon and are not gone."""
        self.look_for_gone()
        asked = {
            one.name: partial(_answer_of, one.session)
            for one in self.partners
            if one.session is not None and one.contact != GONE
        }
        return {
            name: answer
            for name, answer in side_by_side(asked).items()
            if isinstance(answer, CampaignStatus) and answer.campaign_id == self.campaign_id
        }

    @property
    def gone(self) -> list[str]:
        """The members that are known to be gone."""
        return [one.name for one in self.partners if one.contact == GONE]

    def look_for_gone(self) -> list[str]:
        """Read which members were forgotten (`wf pod-forget`); return `gone`."""
        for one in self.partners:
            if one.contact != GONE and is_forgotten(self.root, self.campaign_id, one.name):
                one.contact = GONE
                self.say(f"`wf pod-forget {one.name}` was called: others train its rows")
        return self.gone

    def may_move(self, run_id: str) -> bool:
        """Whether a row without a pod that trains it may still be given to one."""
        owner = self.owners.get(run_id)
        found = [one for one in self.partners if owner is not None and one.name == owner.member]
        if not found:
            return False
        return found[0].contact == GONE or (found[0].contact == ANSWERS and self.moves)

    def plan(self, statuses: Mapping[str, CampaignStatus]) -> list[Step]:
        """Ask all members, and decide what to do next; changes nothing.

        `statuses` are those of the members that take part.
        """
        self._ask_all()
        seen = [self._seen(one, statuses.get(one.name)) for one in self.partners]
        seen = self._without_campaign(seen)
        for one in self.partners:
            if one.view is not None:
                self._learn((i, owner) for i, (owner, _) in one.view.owners.items())
        states = [
            (row.run_id, row.state)
            for name, status in statuses.items()
            for row in status.rows
            if name not in self.gone
        ]
        done = {run_id for run_id, state in states if state in ROW_ENDED}
        left_out = {run_id for run_id, state in states if state == NOT_SELECTED}
        rows = [row for row in self.rows if row.run_id not in left_out]
        return rebalance.decide(seen, rows, self.gpus_per_run, done, moves=self.moves)

    def carry_out(self, learn: Callable[[], Mapping[str, CampaignStatus]]) -> bool:
        """Move rows until nothing is left to do or a step fails; return whether any was moved.

        `learn` returns the present statuses of the members that take part.
        """
        has_moved = False
        for _ in range(_ROUNDS):
            steps = self.plan(learn())
            for step in steps:
                if not self._send(step):
                    return has_moved
                has_moved = True
            if not steps:
                break
        return has_moved

    # ---- private ----------------------------------------------------------------------------

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def _without_campaign(self, seen: list[Seen]) -> list[Seen]:
        """Leave out members that never had the campaign; one that refused it is gone for it.

        Each of the others has recorded which members may have it.
        """
        known = [one.view for one in seen if one.view is not None and one.view.members]
        if not known:
            return seen
        members = frozenset.intersection(*(view.members for view in known))
        owners = {owner.member for view in known for owner, _ in view.owners.values()}
        kept = members | owners | set(self.gone)
        self.partners = [one for one in self.partners if one.name in kept]
        for partner in self.partners:
            if partner.name not in members and partner.view is None:
                partner.contact = GONE
        contacts = {one.name: one.contact for one in self.partners}
        return [one._replace(contact=contacts[one.name]) for one in seen if one.name in contacts]

    def _learn(self, owners: Iterable[tuple[str, Owner]]) -> None:
        for run_id, owner in owners:
            if run_id not in self.owners or owner.epoch > self.owners[run_id].epoch:
                self.owners[run_id] = owner

    def _seen(self, one: Partner, status: CampaignStatus | None) -> Seen:
        member = Member(one.name, one.gpus)
        is_launched = (
            one.takes_part
            and status is not None
            and not status.stopped
            and status.state in _LAUNCHED
        )
        free = member.capacity - (self._in_use(member, status) if status is not None else 0)
        return Seen(member, one.contact, one.view, is_launched, max(0, free))

    @cached_property
    def _needed(self) -> dict[str, int]:
        """The GPUs that each row asks for; 0 for all of a pod."""
        return {row.run_id: row.gpus or self.gpus_per_run for row in self.rows}

    def _in_use(self, member: Member, status: CampaignStatus) -> int:
        return sum(
            self._needed.get(row.run_id) or member.capacity
            for row in status.rows
            if row.state in ROW_IN_PROGRESS
        )

    def _ask_all(self) -> None:
        """Ask the members that are not gone for their records, all at once."""
        asked = [one for one in self.partners if one.contact != GONE]
        contacts = side_by_side({one.name: partial(self._contact, one) for one in asked})
        for one in asked:
            one.contact = contacts[one.name]
            if one.why_gone:
                self._say_once(f"{one.name} is gone: {one.why_gone}")

    def _contact(self, one: Partner) -> str:
        """Ask a member for its record of the rows' owners; return whether it answers."""
        if one.session is None:
            return UNKNOWN
        try:
            with one.session.patience.limited(PATIENCE_S):
                if self.holds_lease:
                    one.session.hold_lease()
                args = {"campaign_id": self.campaign_id, "changes": bool(one.frozen)}
                answer = one.session.request(operations.CAMPAIGN_SHARD, args)
                view = ShardView.from_json(answer, one.frozen)
        except PodGone as e:
            one.why_gone = e.message
            return GONE
        except (WfError, TimeoutError, OSError, Malformed):
            return UNKNOWN
        if (view.campaign_id, view.member) != (self.campaign_id, one.name):
            return UNKNOWN
        one.view = view
        one.frozen = one.frozen or view.frozen
        return ANSWERS

    def _send(self, step: Step) -> bool:
        """Send one request; return whether all of it was done."""
        session = next(one.session for one in self.partners if one.name == step.member)
        assert session is not None  # it has answered
        try:
            with session.patience.limited(PATIENCE_S):
                session.hold_lease()
                answer = self._cede(session, step) if isinstance(step, Cede) else None
                if isinstance(step, Give):
                    answer = self._give(session, step)
        except (WfError, TimeoutError, OSError) as e:
            self._say_once(f"rows are not moved for now: {step.member}: {e}")
            return False
        assert answer is not None
        if answer.get("kept") != {}:
            return False  # a row has begun in the meantime
        self._note(step)
        return True

    def _cede(self, session: PodSession, step: Cede) -> Mapping[str, object]:
        args = {"campaign_id": self.campaign_id, "rows": dict(step.rows), "to": step.to}
        return session.request(operations.CAMPAIGN_CEDE, args)

    def _give(self, session: PodSession, step: Give) -> Mapping[str, object]:
        args = {
            "campaign_id": self.campaign_id,
            "flow_id": session.flow_id,
            "rows": assignment.as_json(step.rows),
            "secrets": dict(self.secrets),
        }
        with session.idle_removal.suspended():
            return session.request(operations.CAMPAIGN_ASSIGN, args, timeout_s=300)

    def _note(self, step: Step) -> None:
        if isinstance(step, Cede):
            self._learn((i, Owner(step.to, epoch + 1)) for i, epoch in step.rows.items())
            return
        own = {i: owner for i, owner in step.rows.items() if owner.member == step.member}
        self._learn(step.rows.items())
        self.moved.update(own)
        if own:
            self.say(f"{step.member} gets {_named(own)}")


def _answer_of(session: PodSession) -> CampaignStatus | Exception:
    """The status of the pod's campaign, or why there is none soon."""
    try:
        with session.patience.limited(PATIENCE_S):
            return status_of(session)
    except (WfError, TimeoutError, OSError) as e:
        return e


def _gpus_of(session: PodSession) -> int:
    """The GPUs of a pod."""
    found = session.request(operations.PROBE, timeout_s=120).get("gpus")
    return len(found) if isinstance(found, list) else 0


def described(step: Step) -> str:
    """A step in words."""
    if isinstance(step, Cede):
        return f"{step.member} cedes {_named(step.rows)} to {step.to}"
    owners = Counter(owner.member for owner in step.rows.values())
    whose = "its own" if list(owners) == [step.member] else f"rows of {', '.join(sorted(owners))}"
    return f"{step.member} records {_named(step.rows)} as {whose}"


def _named(rows: Collection[str]) -> str:
    return f"row{'s' * (len(rows) != 1)} {', '.join(sorted(rows))}"
