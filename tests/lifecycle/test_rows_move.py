"""Whole flows on several pods in which rows change their pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.evidence.verify import verify_flow
from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.flow_project import FlowRun, Project

ALL = ("--wf-wait=true", "--wf-fetch=all")


def _project(base: Path, rows: list[str], **config: str) -> Project:
    root = base / "project"
    root.mkdir()
    keys = {"WF_PODS": "2", "RUN_RETRIES": "0", "RUN_TIMEOUT_SECS": "60", **config}
    return Project(
        write_project(root, rows=rows, config=keys), environment.clean_environ(base / "home")
    )


def _owners(run: FlowRun) -> dict[str, str]:
    return {run_id: owner for run_id, (owner, _) in run.record("fleet")["assignment"].items()}


def _trained_on(root: Path, run_id: str) -> list[str]:
    """The pods on which a row was trained."""
    found = root.glob(f".wf/pod/*/outputs/{run_id}/out/metrics.jsonl")
    return sorted(path.relative_to(root / ".wf/pod").parts[0] for path in found)


def _attempts(run: FlowRun) -> dict[str, int]:
    return {row["run_id"]: row["attempts"] for row in run.record("flow.summary")["rows"]}


def test_rows_of_a_busy_pod_move_to_an_idle_one_and_each_is_trained_once(tmp_path: Path) -> None:
    moved = tmp_path / "project/.wf/pod/pod2/outputs/r4/out/metrics.jsonl"
    rows = [f"r{i},default.py,{i},{f'wait_for={moved}' if i == 0 else ''}," for i in range(6)]
    run = _project(tmp_path, rows).flow(*ALL)
    assert run.code == 0, run.output
    assert _attempts(run) == {f"r{i}": 1 for i in range(6)}
    assert _owners(run)["r0"] == "pod1" and _owners(run)["r4"] == "pod2"
    assert {i: _trained_on(run.root, i) for i in _owners(run)} == {
        run_id: [owner] for run_id, owner in _owners(run).items()
    }
    assert "pod2 gets row" in run.output
    assert run.record("phase.P70.evidence")["facts"]["moved"]["r4"] == ["pod2", 2]
    assert (run.root / "reports/runs/r4/summary.json").is_file()
    assert verify_flow(run.folder).ok


@pytest.mark.parametrize("waits", [True, pytest.param(False, marks=pytest.mark.long)])
def test_rows_of_a_pod_whose_launch_fails_are_trained_by_another(
    tmp_path: Path, waits: bool
) -> None:
    project = _project(tmp_path, [f"r{i},default.py,{i},," for i in range(3)], WF_PODS_MIN="1")
    foreign = project.root / ".wf/pod/pod2/outputs/r1"
    foreign.mkdir(parents=True)
    (foreign / "notes.txt").write_text("not a run\n")
    run = project.flow(*ALL) if waits else project.flow()
    if not waits:
        assert _trained_on(run.root, "r1") == []
        run = project.flow("--wf-sweep=resume", *ALL)
    assert run.code == 1, run.output
    assert run.record("flow.summary")["failed_phase"] == "P60"
    assert run.record("flow.summary")["counts"]["rows_ok"] == 3
    assert _owners(run) == {"r0": "pod1", "r1": "pod1", "r2": "pod1"}
    assert _attempts(run) == {"r0": 1, "r1": 1, "r2": 1}
    assert run.record("phase.P70.evidence")["facts"]["gone"] == ["pod2"]
    assert verify_flow(run.folder).ok
