"""P80 FETCH: judged by the facts `verified` and `files`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_wf.court.contract import Contract, states_from
from pytest_wf.court.core_phase import CorePhase, Postcondition
from pytest_wf.evidence.fetch_record import LeftOut, left_out_text
from pytest_wf.wire import fsm

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

#: So many incomplete runs are named in the finding.
_MOST_RUNS = 20

_CONTRACT = Contract(
    "P80",
    "FETCH",
    "the asked results are here and verified",
    ("fetch", "fetch-skip"),
    preconditions=("P70 passed",),
    postconditions=("every fetched file has the digest that the pod gave",),
    laws=(1, 3, 5, 6, 7, 9),
    states_before=states_from(fsm.CHECKED_OUT),
    states_after=states_from(fsm.CHECKED_OUT),
    timeout_s=None,
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    verified, files = e.facts.get("verified"), e.facts.get("files")
    return [
        Postcondition(
            "digests-verified",
            verified is True and isinstance(files, int),
            6,
            "every file of the runs is here, with the digest that the pod gave",
            f"verified: {verified}, files: {files}{_incomplete(e.facts)}",
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


def _incomplete(facts: Mapping[str, Any]) -> str:
    """The runs that are not whole, and what each lacks."""
    said = []
    for run_id, run in (facts.get("runs") or {}).items():
        if run.get("verified") is not True:
            left_out = [LeftOut.from_json(one) for one in run.get("left_out") or ()]
            lacks = left_out_text(one for one in left_out if not one.is_checkpoint)
            problems = [*facts["problems"].get(run_id, ()), *filter(None, [lacks])]
            said.append(f"run {run_id} is incomplete: {', '.join(problems)}")
    return "".join(f"; {line}" for line in said[:_MOST_RUNS])


PHASE = CorePhase(_CONTRACT, _postconditions)
