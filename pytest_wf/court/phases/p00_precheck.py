"""P00 PRECHECK: judged by the facts `laws` and `config_sha256`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.court.constitution import LAWS
from pytest_wf.court.contract import Contract
from pytest_wf.court.core_phase import CorePhase, Postcondition

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_CONTRACT = Contract(
    "P00",
    "PRECHECK",
    "config and CSV are valid, policy and consent are settled",
    ("precheck",),
    postconditions=("config hash recorded", "laws loaded", "nothing remote touched"),
    artifacts=("config",),
    laws=(1, 2, 4, 5, 6, 8, 9),
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    laws = e.facts.get("laws")
    digest = e.facts.get("config_sha256")
    return [
        Postcondition(
            "laws-loaded",
            laws == sorted(LAWS),
            9,
            f"laws {sorted(LAWS)}",
            laws,
            "Call the precheck operation in P00's body.",
        ),
        Postcondition(
            "config-hash-recorded",
            digest == e.active_config_sha256,
            1,
            e.active_config_sha256,
            digest,
            "Leave the config alone while a flow runs.",
        ),
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
