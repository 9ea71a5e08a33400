"""P90 TEARDOWN: judged by the facts `deleted`, `kept`, `removed` and `released`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract
from pytest_wf.court.core_phase import CorePhase, Postcondition

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_CONTRACT = Contract(
    "P90",
    "TEARDOWN",
    "the pod is kept or deleted, as the policy says",
    ("teardown", "pod-delete"),
    preconditions=("the policy is known",),
    postconditions=("kept and named, or deleted and proved",),
    laws=(3, 5, 6, 7, 9),
    always=True,
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    deleting = "pod-delete" in e.commands
    asked = case.world.policy.get("teardown", "keep")
    if e.flow_status != "ok":
        asked = case.world.policy.get("teardown_on_failure", "keep")
    done = "delete" if deleting else "keep"
    checks = [
        Postcondition(
            "teardown-as-asked",
            e.teardown_mode == asked
            and (done == asked or (case.world.locked_target is None and not deleting)),
            7,
            asked,
            f"{done}, by the policy {e.teardown_mode}",
            "Set --wf-teardown or WF_TEARDOWN_ON_FAILURE; nothing else decides.",
        )
    ]
    if e.phase_status == "fail":
        return checks
    facts = e.facts
    if deleting:
        checks.append(
            Postcondition(
                "deletion-proved",
                facts.get("deleted") is True and facts.get("removed") and "released" in facts,
                7,
                "what was removed and released",
                {k: facts.get(k) for k in ("deleted", "removed", "released")},
                "Look at `wf pod-list`, and at the provider's own page.",
            )
        )
    else:
        checks.append(
            Postcondition(
                "kept-and-named",
                facts.get("deleted") is False
                and (facts.get("kept") or case.world.locked_target is None),
                7,
                "the pod that is kept, by name",
                {k: facts.get(k) for k in ("deleted", "kept")},
                "Call the teardown operation in P90's body.",
            )
        )
    return checks


PHASE = CorePhase(_CONTRACT, _postconditions, always_judged=True)
