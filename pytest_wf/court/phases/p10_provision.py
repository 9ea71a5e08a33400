"""P10 PROVISION: judged by the fact `rented`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract
from pytest_wf.court.core_phase import CorePhase, Postcondition

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_CONTRACT = Contract(
    "P10",
    "PROVISION",
    "a pod is rented, or none is needed",
    ("provision",),
    preconditions=("P00 passed",),
    postconditions=("a target exists, or the reason why none was rented",),
    laws=(1, 3, 4, 5, 6, 7, 9),
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    rented = e.facts.get("rented")
    return [
        Postcondition(
            "pod-rented",
            isinstance(rented, str) and rented,
            3,
            "the pod that was rented",
            rented,
            "Look at `wf pod-list` for a pod that was not bound.",
        ),
        Postcondition(
            "renting-allowed",
            case.world.policy.get("provision", "auto") != "skip",
            5,
            "no pod rented under --wf-provision=skip",
            rented,
            "Look at `wf pod-list`, and delete what was not asked for.",
        ),
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
