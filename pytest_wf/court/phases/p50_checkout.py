"""P50 CHECKOUT: judged by the facts `dirty` and `torch`, and the evidence's commit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract, states_from
from pytest_wf.court.core_phase import CorePhase, Postcondition
from pytest_wf.wire import fsm

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_GIT_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

_CONTRACT = Contract(
    "P50",
    "CHECKOUT",
    "the repository is at the requested commit, with its environment and data",
    ("checkout",),
    preconditions=("the pod is bootstrapped",),
    postconditions=("commit as asked", "no tracked file modified", "torch as asked"),
    artifacts=("checkout-log",),
    states_before=states_from(fsm.BOOTSTRAPPED),
    states_after=states_from(fsm.CHECKED_OUT),
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    sha = e.git_sha or ""
    wanted = case.world.policy.get("expect_git_sha", "").lower()
    dirty = e.facts.get("dirty")
    torch = e.facts.get("torch")
    cuda = isinstance(torch, dict) and bool(torch.get("cuda"))
    return [
        Postcondition(
            "commit-recorded",
            _GIT_SHA.fullmatch(sha),
            6,
            "a full commit id",
            e.git_sha,
            "Run the checkout again.",
        ),
        Postcondition(
            "commit-as-asked",
            not wanted or sha == wanted,
            5,
            wanted or "any commit",
            e.git_sha,
            "Correct EXPECT_GIT_SHA, or check out that commit.",
        ),
        Postcondition(
            "checkout-clean",
            dirty is False or dirty == [],
            5,
            "no tracked file is modified",
            dirty,
            "Commit or drop the changes on the pod, or set CHECKOUT_FORCE_CLEAN=1.",
        ),
        Postcondition(
            "torch-as-asked",
            cuda or case.world.policy.get("require_gpu_torch", "0") != "1",
            5,
            "torch with CUDA, as REQUIRE_GPU_TORCH=1 asks",
            torch,
            "Use an image with CUDA torch, or set REQUIRE_GPU_TORCH=0.",
        ),
    ]


PHASE = CorePhase(_CONTRACT, _postconditions)
