"""Which members decide on the moves of a campaign's rows. The sessions are fakes."""

from __future__ import annotations

import threading
from typing import Any, cast

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.fleet.rebalance import ANSWERS, GONE, UNKNOWN, Give
from pytest_wf.flow.fleet.row_moves import Partner, RowMoves
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.patience import Patience
from pytest_wf.wire import fsm
from pytest_wf.wire.assignment import FROZEN, Owner, ShardView
from pytest_wf.wire.rows import CampaignStatus, Row
from pytest_wf.wire.states import SUPERVISOR_ENDED
from tests.support.silent_pod import SilentPod
from tests.support.sweep_pod import make_row

CAMPAIGN = "c-20260102T030405Z-abcdef"


class _Session:
    """The pod of pod1, or one without the campaign."""

    def __init__(self, members: frozenset[str] | None) -> None:
        self.patience = Patience()
        self._members = members

    def request(self, _op: str, _args: dict[str, Any]) -> dict[str, Any]:
        if self._members is None:
            raise OperationFailed("no-campaign", "there is no campaign.")
        owners = {"a": (Owner("pod1", 1), FROZEN), "b": (Owner("pod2", 1), FROZEN)}
        return ShardView(CAMPAIGN, "pod1", owners, frozenset(), self._members).as_json()


def _moves(members: frozenset[str]) -> RowMoves:
    """Of a campaign whose pod2 is gone; pod3 answers that it has no campaign."""
    pod1, pod3 = (cast("PodSession", _Session(known)) for known in (members, None))
    partners = [
        Partner("pod1", pod1, 0),
        Partner("pod2", None, 0, contact=GONE),
        Partner("pod3", pod3, 0),
    ]
    rows = [Row.from_json(make_row(name, index=i)) for i, name in enumerate("ab")]
    return RowMoves("", CAMPAIGN, partners, rows, 0, True, {}, print, holds_lease=False)


STATUS = CampaignStatus(
    CAMPAIGN, "", "", "", False, "", SUPERVISOR_ENDED, fsm.SWEEP_COMPLETED, "", None, []
)


def test_a_pod_for_which_the_campaign_was_not_frozen_holds_no_row_back() -> None:
    moves = _moves(frozenset({"pod1", "pod2"}))
    assert moves.plan({"pod1": STATUS}) == [Give("pod1", {"b": Owner("pod1", 3)})]
    assert [one.name for one in moves.partners] == ["pod1", "pod2"]


def test_rows_of_a_member_that_refused_the_campaign_are_given_to_others() -> None:
    moves = _moves(frozenset({"pod1"}))
    moves.partners[1].contact = UNKNOWN
    assert moves.plan({"pod1": STATUS}) == [Give("pod1", {"b": Owner("pod1", 3)})]
    assert moves.gone == ["pod2"]


def test_a_member_that_has_lost_the_campaign_may_still_train_a_row() -> None:
    assert _moves(frozenset({"pod1", "pod2", "pod3"})).plan({"pod1": STATUS}) == []


def test_without_a_record_of_the_members_every_pod_counts() -> None:
    assert _moves(frozenset()).plan({"pod1": STATUS}) == []


def test_silent_pods_are_waited_for_at_once() -> None:
    moves, both = _moves(frozenset({"pod1", "pod2", "pod3"})), threading.Barrier(2)
    silent = [SilentPod(both, 2), SilentPod(both, 2)]
    for partner, session in zip(moves.partners[1:], silent, strict=True):
        partner.session, partner.contact = cast("PodSession", session), ANSWERS
    assert moves.plan({"pod1": STATUS}) == []
    assert [one.contact for one in moves.partners] == [ANSWERS, UNKNOWN, UNKNOWN]
    moves.partners = moves.partners[1:]
    assert moves.statuses() == {}
    assert [one.asked for one in silent] == [2, 2]
