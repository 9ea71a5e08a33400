"""A flow that rents two pods, trains on both, and gives both back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_wf.evidence.verify import verify_flow
from pytest_wf.loopback import LoopbackLium, Node

pytestmark = pytest.mark.slow


def test_two_pods_are_rented_under_one_ceiling_and_both_are_given_back(
    project_of: Callable[..., Any], new_account: Callable[..., LoopbackLium]
) -> None:
    api = new_account(nodes=[Node(price_per_gpu=1.0), Node(price_per_gpu=2.0)])
    project = project_of(api)
    pod = str(project.outputs.parent)
    project.configure(
        OPS_REMOTE_REPO=f"{pod}/${{WF_MEMBER}}/repo",
        OPS_REMOTE_OUTPUTS_DIR=f"{pod}/${{WF_MEMBER}}/outputs",
        REMOTE_ENV_PATH=f"{pod}/${{WF_MEMBER}}/project.env",
    )
    flown = project.flow("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete", "-n", "2")
    assert flown.code == 0, flown.output
    rented = flown.record("phase.P10.evidence")["facts"]
    assert len(rented["rented"].split()) == 2
    assert rented["usd_per_hour"] == 3.0
    targets = {one["target"] for one in flown.record("fleet")["members"]}
    assert len(targets) == 2
    for name in ("pod1", "pod2"):
        ended = flown.record(f"pods/{name}/phase.P90.evidence")["facts"]["released"]
        assert ended["confirmed_absent"] is True
    assert (api.account.billed(), api.account.most_billed) == ([], 2)
    summary = flown.record("flow.summary")
    assert summary["usd_per_hour"] == 3.0
    assert 0 < summary["cost_usd"] < 0.3
    assert verify_flow(flown.folder).ok
