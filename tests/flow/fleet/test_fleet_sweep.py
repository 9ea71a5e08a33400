"""The merged sweep of simulated pods: rows that move, and what the pods are asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

from pytest_wf.flow.fleet.fleet_sweep import FleetSweep
from pytest_wf.flow.fleet.row_moves import RowMoves
from pytest_wf.flow.operations.sweep import Sweep
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import fsm
from pytest_wf.wire.assignment import Owner
from pytest_wf.wire.rows import CampaignStatus, RowStatus
from pytest_wf.wire.states import SUCCESS, SUPERVISOR_ENDED
from tests.support.bench.simulated_fleet import simulate
from tests.support.silent_pod import SilentPod


def test_each_row_is_trained_once_and_the_idle_pods_get_rows_of_slow_ones(tmp_path: Path) -> None:
    took = simulate(tmp_path, 3, 30)
    assert took["rows moved"] >= 3
    assert took["ticks"] < 20


def test_pods_do_not_send_each_others_rows_again_and_again(tmp_path: Path) -> None:
    few, many = (simulate(tmp_path / str(pods), pods, 200) for pods in (2, 20))
    # each pod names all rows once, when rows may move; else a row comes from its own pod
    assert many["MB received"] < 2 * few["MB received"]


class _Answering(SilentPod):
    """A pod that has trained the only row."""

    def request(self, _op: str, _args: dict[str, Any], **_how: Any) -> dict[str, Any]:
        return _TRAINED.as_json()


CAMPAIGN = "c-20260102T030405Z-abcdef"
_TRAINED = CampaignStatus(
    CAMPAIGN,
    "",
    "",
    "",
    False,
    "",
    SUPERVISOR_ENDED,
    fsm.SWEEP_COMPLETED,
    "",
    None,
    [RowStatus("a", SUCCESS, 0, ok=True)],
)


def test_a_look_waits_for_silent_pods_at_once() -> None:
    both = threading.Barrier(2)
    silent = [SilentPod(both), SilentPod(both)]
    pods = {"pod1": _Answering(both), "pod2": silent[0], "pod3": silent[1]}
    moves = RowMoves("", CAMPAIGN, [], [], 0, True, {}, print, owners={"a": Owner("pod1", 1)})
    shown: list[CampaignStatus] = []
    whole = FleetSweep(
        {name: Sweep(cast("PodSession", pod)) for name, pod in pods.items()},
        lambda run_id: "",
        shown.append,
        moves,
    )
    assert whole.follow("a", wait=True).state == SUCCESS
    assert all(one.asked for one in silent) and not both.broken
