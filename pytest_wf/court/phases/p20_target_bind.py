"""P20 TARGET_BIND: judged by the evidence's target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract
from pytest_wf.court.core_phase import CorePhase, Postcondition

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_CONTRACT = Contract(
    "P20",
    "TARGET_BIND",
    "one target is resolved and locked for the flow",
    ("bind",),
    preconditions=("an explicit target, or a rented pod",),
    postconditions=("the target is locked",),
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    bound = bool(e.resolved_target) and e.target_source != "unresolved"
    return [
        Postcondition(
            "target-bound",
            bound,
            3,
            "one target, and where it comes from",
            f"{e.resolved_target} ({e.target_source})",
            "Set OPS_DEFAULT_HOST, or the key with which a provider names its pods.",
        ),
        Postcondition(
            "target-locked",
            case.world.locked_target,
            3,
            "the target is locked for the flow",
            case.world.locked_target,
            "Call the bind operation in P20's body.",
        ),
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
