"""The campaign that the members of a fleet share: each row's status comes from its owner's pod."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from pytest_wf.errors import NotAwaited, OperationFailed, PodGone, TransportError
from pytest_wf.flow.fleet.row_moves import PATIENCE_S, RowMoves
from pytest_wf.flow.fleet.work import side_by_side
from pytest_wf.flow.operations.sweep import TAIL_BYTES, Sweep
from pytest_wf.wire.rows import CampaignStatus, RowStatus
from pytest_wf.wire.states import (
    OTHER_POD,
    PENDING,
    ROW_IN_PROGRESS,
    ROW_SETTLED,
    SUPERVISOR_ALIVE,
    SUPERVISOR_ENDED,
    UNKNOWN,
)

if TYPE_CHECKING:
    from pytest_wf.project.expectations import Expectations


class FleetSweep:
    """The sweeps of several members as one, with the interface of `Sweep`.

    `sweeps` are those of the members that take part, by name; `halted` says why a member does
    not. `on_status` gets the merged status whenever a member's status arrives. While the flow waits
    for rows, `moves` moves them between the members; None to move none.
    """

    def __init__(
        self,
        sweeps: Mapping[str, Sweep],
        halted: Callable[[str], str],
        on_status: Callable[[CampaignStatus], None],
        moves: RowMoves | None = None,
    ) -> None:
        self._sweeps = dict(sweeps)
        self._halted = halted
        self._on_status = on_status
        self._moves = moves
        self._next_look = 0.0
        #: All rows of the campaign, as the first pod that answered named them.
        self._all_rows: dict[str, RowStatus] = {}
        #: Whether a round of questions to all pods is under way: its news is told once, at its end.
        self._is_asking = False
        #: What was known when there was nothing left to do.
        self._settled: object = None
        for sweep in self._sweeps.values():
            sweep.observe(self._learnt)
            sweep.meanwhile = self._look

    # ---- without contact ------------------------------------------------------------------

    @property
    def expectations(self) -> Expectations:
        """The expectations of rows' metrics."""
        return next(iter(self._sweeps.values())).expectations

    @property
    def polls(self) -> int:
        """The number of polls of the pod that was asked most often."""
        return max(sweep.polls for sweep in self._sweeps.values())

    @property
    def last_rows(self) -> list[RowStatus]:
        """The latest status of each row from its owner, in the order of the manifest."""
        merged = {
            row.run_id: row
            for _, sweep in reversed(self._by_answer())
            for row in sweep.last_rows
            if row.state != OTHER_POD
        }
        for run_id in self._all_rows:
            if run_id not in merged:
                merged[run_id] = self._without_pod(run_id)
        return sorted(merged.values(), key=lambda row: (row.index, row.run_id))

    def last_row(self, run_id: str) -> RowStatus | None:
        """The latest status of a row; None if it has none."""
        found = [sweep.last_row(run_id) for _, sweep in self._by_answer()]
        own = [row for row in found if row is not None and row.state != OTHER_POD]
        if own:
            return own[0]
        return self._without_pod(run_id) if run_id in self._all_rows else None

    def owner_of(self, run_id: str) -> str:
        """The member whose pod has the row, as last known; '' for none."""
        for name, sweep in self._by_answer():
            row = sweep.last_row(run_id)
            if row is not None and row.state != OTHER_POD:
                return name
        return ""

    # ---- with contact ---------------------------------------------------------------------

    @property
    def campaign_id(self) -> str | None:
        """Id of the campaign; None if no pod has one."""
        status = self.status()
        return None if status is None else status.campaign_id

    def status(self, *, fresh: bool = False) -> CampaignStatus | None:
        """The merged status; None if no pod has a campaign.

        Raises the error of a pod that does not answer if no pod does, or with `fresh`.
        """
        return self._merged(self._answers(fresh=fresh))

    def row(self, run_id: str) -> RowStatus | None:
        """The last known state of one row; None if it is not in the campaign."""
        self._answers()
        return self.last_row(run_id)

    def follow(self, run_id: str, *, wait: bool) -> RowStatus:
        """Wait until the row has ended; see `Sweep.follow`."""
        while True:
            owner = self._await_owner(run_id) if wait else self._require_owner(run_id)
            try:
                return self._sweeps[owner].follow(run_id, wait=wait)
            except (NotAwaited, TransportError, PodGone):
                # the row may have moved in the meantime
                if not wait or not (self._look_now() or self.owner_of(run_id) != owner):
                    raise

    def follow_all(self) -> CampaignStatus:
        """Wait until every selected row has ended on every pod."""
        has_moved = True
        while has_moved:
            for sweep in list(self._sweeps.values()):
                self._follow_whole(sweep)
            has_moved = self._look_now()
        status = self.status()
        assert status is not None  # each of them has a campaign
        return status

    def wait_for_news(self, run_id: str) -> None:
        """Wait until something on the row's pod has changed; see `Sweep.wait_for_news`."""
        self._sweeps[self._require_owner(run_id)].wait_for_news(run_id)

    def tail(self, run_id: str, max_bytes: int = TAIL_BYTES) -> str:
        """The end of a row's log; empty if it cannot be read."""
        owner = self.owner_of(run_id)
        return self._sweeps[owner].tail(run_id, max_bytes) if owner else ""

    # ---- rows that move ----------------------------------------------------------------------

    def _follow_whole(self, sweep: Sweep) -> None:
        """Wait for the rows of one pod, unless it is gone."""
        try:
            sweep.follow_all()
        except (TransportError, PodGone):
            self._look_now()
            if sweep in self._sweeps.values():
                raise

    def _await_owner(self, run_id: str) -> str:
        """The member that trains a row, once there is one. Raises as `_require_owner`."""
        self._look()
        while not self.owner_of(run_id) and self._moves and self._moves.may_move(run_id):
            busy = self._busy()
            if busy is not None:
                sweep, other = busy
                sweep.wait_for_news(other)
            elif not self._look_now():
                break
        return self._require_owner(run_id)

    def _busy(self) -> tuple[Sweep, str] | None:
        """A pod with a row that has not ended, and that row."""
        for sweep in self._sweeps.values():
            for row in sweep.last_rows:
                if row.state not in ROW_SETTLED and row.state != UNKNOWN:
                    return sweep, row.run_id
        return None

    def _look(self) -> None:
        """Check all members now and then, and move rows if one has none left to begin."""
        if self._moves is None or time.monotonic() < self._next_look:
            return
        statuses = self._statuses()
        # the owners of a resumed campaign are requested once
        is_due = self._is_due(statuses) or not self._moves.owners
        if is_due and self._known(statuses) != self._settled:
            self._move(self._moves, statuses)
        self._next_look = time.monotonic() + self._moves.look_s

    def _look_now(self) -> bool:
        """Check them at once, whatever was known before; return whether rows were moved."""
        return self._moves is not None and self._move(self._moves, self._statuses())

    def _move(self, moves: RowMoves, statuses: Mapping[str, CampaignStatus]) -> bool:
        if any(status.stopped or status.ceiling for status in statuses.values()):
            return False  # the user has stopped the sweep, or no row begins any more
        has_moved = moves.carry_out(self._statuses)
        self._settled = self._known(self._statuses())
        return has_moved

    def _statuses(self) -> dict[str, CampaignStatus]:
        """The status of each member, as recent as available soon; none for a pod that is gone."""
        assert self._moves is not None
        for name in self._moves.look_for_gone():
            if len(self._sweeps) > 1:
                self._sweeps.pop(name, None)
        self._is_asking = True
        try:
            self._refresh_all()
        finally:
            self._is_asking = False
        self._tell()
        found = {name: sweep.last_status for name, sweep in self._sweeps.items()}
        return {name: status for name, status in found.items() if status is not None}

    def _refresh_all(self) -> None:
        """Ask all pods at once, after the first one that names the rows: the others then leave out
        those of other pods."""
        left = dict(self._sweeps)
        while left and not self._all_rows:
            left.pop(next(iter(left))).try_refresh(PATIENCE_S)
        side_by_side({name: partial(one.try_refresh, PATIENCE_S) for name, one in left.items()})

    def _is_due(self, statuses: Mapping[str, CampaignStatus]) -> bool:
        """Whether a row that waits could begin elsewhere, or has no pod."""
        states = [{row.state for row in status.rows} for status in statuses.values()]
        is_waiting = any(PENDING in own for own in states)
        is_idle = any(PENDING not in own for own in states)
        return (is_waiting and is_idle) or any(row.state == UNKNOWN for row in self.last_rows)

    def _known(self, statuses: Mapping[str, CampaignStatus]) -> object:
        """The input for decisions on moves, except the members' records of owners."""
        assert self._moves is not None
        own = {
            name: [
                (r.run_id, r.state) for r in status.rows if r.state in {PENDING, *ROW_IN_PROGRESS}
            ]
            for name, status in statuses.items()
        }
        return own, self._moves.gone

    # ---- private ----------------------------------------------------------------------------

    def _answers(self, *, fresh: bool = False) -> list[CampaignStatus]:
        """The status of each pod that has a campaign. Raises as `status`."""
        found: list[CampaignStatus | None] = []
        errors: list[TransportError | PodGone] = []
        for sweep in self._sweeps.values():
            try:
                found.append(sweep.status(fresh=fresh))
            except (TransportError, PodGone) as e:
                errors.append(e)
        if errors and (fresh or not found):
            raise errors[0]
        return [status for status in found if status is not None]

    def _by_answer(self) -> list[tuple[str, Sweep]]:
        """The sweeps; those last whose pods never answered, and which know no owners of rows."""
        return sorted(self._sweeps.items(), key=lambda one: one[1].last_status is None)

    def _require_owner(self, run_id: str) -> str:
        seen = self.row(run_id)
        owner = self.owner_of(run_id)
        if owner:
            return owner
        if seen is None:
            raise OperationFailed(
                "no-such-run",
                f"the campaign on the pods has no row {run_id!r}.",
                "Look at `wf sweep-status`; start a campaign with `--wf-sweep=start`.",
            )
        raise NotAwaited(f"not trained: {self._halted(run_id)}")

    def _without_pod(self, run_id: str) -> RowStatus:
        """A row as it is shown while no pod has it."""
        found = [sweep.last_row(run_id) for _, sweep in self._by_answer()]
        seen = next((row for row in found if row is not None), self._all_rows[run_id])
        reason = seen.reason if seen.state == OTHER_POD else None
        return RowStatus(run_id, UNKNOWN, seen.index, expect=seen.expect, reason=reason)

    def _learnt(self, status: CampaignStatus) -> None:
        if not self._all_rows:
            self._all_rows = {row.run_id: row for row in status.rows}
            for sweep in self._sweeps.values():
                sweep.all_rows = self._all_rows.keys()
        if not self._is_asking:
            self._tell()

    def _tell(self) -> None:
        known = [sweep.last_status for sweep in self._sweeps.values()]
        merged = self._merged([one for one in known if one is not None])
        if merged is not None:
            self._on_status(merged)

    def _merged(self, found: list[CampaignStatus]) -> CampaignStatus | None:
        if not found:
            return None
        rows = self.last_rows
        is_open = any(row.state not in ROW_SETTLED for row in rows)
        words = [one.supervisor for one in found]
        supervisor = words[0] if len(set(words)) == 1 else SUPERVISOR_ALIVE
        if SUPERVISOR_ALIVE not in words and not is_open:
            supervisor = SUPERVISOR_ENDED
        ceiling = next((one.ceiling for one in found if one.ceiling), "")
        return found[0]._replace(
            rows=rows, supervisor=supervisor, ceiling=ceiling, seen="", since=""
        )
