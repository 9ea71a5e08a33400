"""P60 SWEEP: judged by the evidence's campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract, states_from
from pytest_wf.court.core_phase import CorePhase, Postcondition
from pytest_wf.wire import fsm

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_CONTRACT = Contract(
    "P60",
    "SWEEP",
    "the sweep is frozen as a campaign and under way on the pod",
    ("sweep-start", "sweep-resume", "sweep-skip"),
    preconditions=("the repository is checked out",),
    postconditions=("the manifest is frozen", "a campaign is on the pod"),
    states_before=states_from(fsm.CHECKED_OUT),
    states_after=states_from(fsm.CHECKED_OUT),
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    under_way = {fsm.SWEEP_RUNNING, fsm.SWEEP_COMPLETED, fsm.SWEEP_STALLED}
    asked = "sweep-" + case.world.policy.get("sweep", e.command_name.partition("-")[2])
    return [
        Postcondition(
            "campaign-known",
            e.campaign_id,
            6,
            "the campaign's id",
            e.campaign_id,
            "Look at `wf sweep-status`.",
        ),
        Postcondition(
            "sweep-as-asked",
            e.command_name == asked,
            5,
            asked,
            e.command_name,
            "Call the launch operation in P60's body; it reads --wf-sweep.",
        ),
        Postcondition(
            "sweep-under-way",
            e.fsm_after in under_way,
            5,
            "the campaign runs or has ended",
            e.fsm_after,
            "Look at `wf sweep-status`.",
        ),
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
