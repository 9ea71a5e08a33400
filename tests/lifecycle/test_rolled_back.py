"""Records of which one side was rolled back: neither side is taken for what it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ALL = ("--wf-wait=true", "--wf-fetch=all")


@pytest.mark.fault("S6")
def test_a_pod_whose_state_was_rolled_back_in_mid_flow_halts_with_both_states(
    new_project: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"  # until then the sweep does not end, which would write the state
    project = new_project(rows=(f"one,default.py,1,wait_for={gate},",))
    state, kept = project.outputs / "_control" / "workflow_state.json", project.root / "kept.json"
    project.phase("P45", f"__import__('shutil').copy({str(state)!r}, {str(kept)!r})", "keep")
    back = f"__import__('shutil').copy({str(kept)!r}, {str(state)!r})"
    project.phase("P65", f"{back}; open({str(gate)!r}, 'w').close()", "back")
    flown = project.flow(*ALL)
    assert flown.code == 1, flown.output
    summary = flown.record("flow.summary")
    assert summary["failed_phase"] in ("P65", "P70"), flown.output
    assert "SWEEP_RUNNING" in flown.output and "BOOTSTRAPPED" in flown.output


@pytest.mark.fault("S6")
def test_evidence_that_was_rolled_back_does_not_end_in_the_head_that_the_pod_has(
    project: Any,
) -> None:
    flown = project.flow(*ALL)
    assert flown.code == 0, flown.output
    (copy,) = (project.outputs / "_manifests").glob("flow-f-*.json")
    head = json.loads(copy.read_bytes())["chain_head"]
    for path in flown.folder.glob("phase.P[89]*"):
        path.unlink()
    (flown.folder / "flow.summary.json").unlink()
    told = project.wf("verify", str(flown.folder), "--head", head)
    assert told.returncode == 1
    assert head in told.stdout
