"""P99 SUMMARY: judged by the fact `phases`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract
from pytest_wf.court.core_phase import CorePhase, Postcondition

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_CONTRACT = Contract(
    "P99",
    "SUMMARY",
    "the flow's verdict and summary are written",
    ("summary",),
    postconditions=("flow.summary.json closes the chain",),
    laws=(2, 5, 6, 8, 9),
    always=True,
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    phases = e.facts.get("phases")
    codes = list(phases) if isinstance(phases, (dict, list)) else []
    return [
        Postcondition(
            "phases-in-order",
            codes and codes == sorted(set(codes)) and "P90" in codes,
            2,
            "every phase that ran, in the order of codes",
            codes,
            "Call the summary operation in P99's body, and let P90 run before it.",
        )
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
