"""P40 BOOTSTRAP: judged by the fact `missing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract, states_from
from pytest_wf.court.core_phase import CorePhase, Postcondition
from pytest_wf.wire import fsm

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_CONTRACT = Contract(
    "P40",
    "BOOTSTRAP",
    "prerequisites are present and helper scripts have run",
    ("bootstrap",),
    preconditions=("the pod is ready",),
    postconditions=("no prerequisite is missing",),
    artifacts=("bootstrap-log",),
    states_before=states_from(fsm.POD_READY),
    states_after=states_from(fsm.BOOTSTRAPPED),
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    missing = e.facts.get("missing")
    return [
        Postcondition(
            "nothing-missing",
            missing == [],
            5,
            "no prerequisite is missing",
            missing,
            "Set AUTO_INSTALL_PREREQS=1, or install them in the pod's image.",
        )
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
