"""A flow that rents two pods, trains on both, and gives both back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.evidence.verify import verify_flow
from pytest_wf.loopback import LoopbackLium, Node
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def _on_two_pods(project: Any) -> Any:
    """The project, with separate folders for its pods, which are on this machine."""
    pod = f"{project.outputs.parent}/${{WF_MEMBER}}"
    project.configure(
        OPS_REMOTE_REPO=f"{pod}/repo",
        OPS_REMOTE_OUTPUTS_DIR=f"{pod}/outputs",
        REMOTE_ENV_PATH=f"{pod}/project.env",
    )
    return project


def _is_reached(pod: Path) -> bool:
    """Whether the moment has come that a pod keeps to."""
    found = list((pod / "outputs/_control").rglob("launches/2.json"))
    ceiling = json.loads(found[0].read_text())["ceiling"] if found else None
    return ceiling is not None and time.clock_gettime(time.CLOCK_BOOTTIME) > ceiling["boot_s"]


def test_two_pods_are_rented_under_one_ceiling_and_both_are_given_back(
    project_of: Callable[..., Any], new_account: Callable[..., LoopbackLium]
) -> None:
    api = new_account(nodes=[Node(price_per_gpu=1.0), Node(price_per_gpu=2.0)])
    project = _on_two_pods(project_of(api))
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


#: Takes the place of hours: the rest of the money pays for twenty seconds, in
#: which a slow machine, too, begins the first row.
_TWENTY_SECONDS = """
from pytest_wf.flow.money.budget import Budget

Budget.left = lambda self, now=None: 20 / 3600 * self.usd_per_hour
"""


@pytest.mark.long
def test_at_the_ceiling_rows_at_work_end_on_all_pods_none_begins_and_both_are_deleted(
    project_of: Callable[..., Any], new_account: Callable[..., LoopbackLium], gate: Path
) -> None:
    api = new_account(nodes=[Node(price_per_gpu=1.0), Node(price_per_gpu=2.0)])
    project = _on_two_pods(project_of(api, WF_MAX_USD="10"))
    with (project.root / "conftest.py").open("a") as conftest:
        conftest.write(_TWENTY_SECONDS)
    rows = [f"r{i},default.py,{i},{f'wait_for={gate}' if i < 2 else ''}," for i in range(6)]
    (project.root / "flows" / "sweep.csv").write_text(
        "\n".join(["run_id,config,seed,overrides,notes", *rows, ""])
    )
    run = project.start("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete", "-n", "2")
    outputs = project.outputs.parent
    reached = [outputs / f"pod{n}" for n in (1, 2)]
    until(lambda: all(map(_is_reached, reached)), "the ceiling is reached", 150)
    gate.touch()
    run.wait()
    assert run.code == 1, run.output
    summary = run.record("flow.summary")
    left = ["r2", "r3", "r4", "r5"]
    assert {row["run_id"]: row["state"] for row in summary["rows"]} == {
        "r0": "success",
        "r1": "success",
        **dict.fromkeys(left, "pending"),
    }
    (note,) = [note for note in summary["notes"] if note["code"] == "budget"]
    assert note["text"] == f"WF_MAX_USD=10 is reached: 4 rows were not begun ({', '.join(left)})."
    assert (summary["usd_per_hour"], api.account.billed()) == (3.0, [])
    assert summary["cost_usd"] > 0
    assert {one["ok"] for one in summary["members"]} == {True}
    assert [phase["status"] for phase in summary["phases"]] == ["ok"] * 5
    estimate = run.record("phase.P70.evidence")["facts"]["estimate"]
    assert estimate["rows"] in (4, 5) and estimate["left_usd"] == round(20 / 3600 * 3, 6)
    costs = json.loads(project.wf("costs", str(run.folder), "--json").stdout)
    assert costs["flows"][0]["rows_left"] == 4
    assert verify_flow(run.folder).ok
