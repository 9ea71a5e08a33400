"""P80 FETCH: judged by the facts `verified` and `files`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract, states_from
from pytest_wf.court.core_phase import CorePhase, Postcondition
from pytest_wf.wire import fsm

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_CONTRACT = Contract(
    "P80",
    "FETCH",
    "the requested results are here and verified",
    ("fetch", "fetch-skip"),
    preconditions=("P70 passed",),
    postconditions=("every fetched file has the digest that the pod gave",),
    laws=(1, 3, 5, 6, 7, 9),
    states_before=states_from(fsm.CHECKED_OUT),
    states_after=states_from(fsm.CHECKED_OUT),
    timeout_s=None,
)


def _postconditions(case: Case) -> list[Postcondition]:
    # imported here, as the auditor needs the contract only
    from pytest_wf.evidence.fetch_record import incomplete_runs

    e = case.evidence
    verified, files = e.facts.get("verified"), e.facts.get("files")
    found = [f"verified: {verified}, files: {files}", *incomplete_runs(e.facts)]
    return [
        Postcondition(
            "digests-verified",
            verified is True and isinstance(files, int),
            6,
            "every file of the runs is here, with the digest that the pod gave",
            "; ".join(found),
            "Run `wf fetch-all` again; on the pod, replace what cannot be carried.",
        ),
        Postcondition(
            "fetch-ended",
            e.fsm_after != fsm.ARTIFACTS_FETCHING,
            5,
            "the pod is no longer in ARTIFACTS_FETCHING",
            e.fsm_after,
            "Run `wf fetch-all` again.",
        ),
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
