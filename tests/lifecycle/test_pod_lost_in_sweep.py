"""Flows on two pods, of which one gives no answer from P70 on, or is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_wf.evidence.verify import verify_flow
from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.flow_project import FlowRun, Project

pytestmark = pytest.mark.slow

ALL = ("--wf-wait=true", "--wf-fetch=all")
SILENT, GONE = "Unreachable('no route to host.')", "PodGone('provider', 'two listings lack it.')"

#: Takes the answers of pod2 away from its first status on.
_LOSE = """
from pytest_wf.errors import PodGone, Unreachable
from pytest_wf.flow.fleet import rebalance
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import operations

asked = set()
request = PodSession.request

def lost(session, op, *args, **more):
    if session.project.member == "pod2" and (asked or op == operations.CAMPAIGN):
        asked.add(op)
        session.patience.answered = lambda: None  # to its lease's thread
        session.patience.silent("no route to host")
        session.patience.doubt()
        raise {error}
    return request(session, op, *args, **more)

PodSession.request = lost
{more}
"""


def _flow(base: Path, error: str, more: str = "") -> FlowRun:
    """A flow of four rows; pod2 has r1 and r3."""
    (base / "project").mkdir()
    rows = [f"r{i},default.py,{i},," for i in range(4)]
    root = write_project(base / "project", rows=rows, config={"WF_PODS": "2"})
    (root / "conftest.py").write_text(_LOSE.format(error=error, more=more))
    return Project(root, environment.clean_environ(base / "home")).flow(*ALL)


def _fetched(run: FlowRun) -> set[str]:
    return {path.parent.name for path in run.root.glob("reports/runs/*/summary.json")}


def _fetch_of_pod2(run: FlowRun) -> dict[str, Any]:
    return run.record("pods/pod2/phase.P80.evidence")


def test_results_of_the_other_pods_are_fetched_though_one_gives_no_answer(tmp_path: Path) -> None:
    run = _flow(tmp_path, SILENT)
    assert run.code == 1, run.output
    assert _fetched(run) == {"r0", "r2"}, run.output
    states = {row["run_id"]: row["state"] for row in run.record("flow.summary")["rows"]}
    assert states == {"r0": "success", "r1": "unknown", "r2": "success", "r3": "unknown"}
    assert run.record("flow.summary")["failed_phase"] == "P70"
    assert run.record("pods/pod1/phase.P80.verdict")["phase_pass"]
    assert not (run.folder / "pods/pod2/phase.P80.evidence.json").exists()
    for member in ("pod1", "pod2"):
        assert run.record(f"pods/{member}/phase.P90.evidence")["facts"]["deleted"] is False
    assert verify_flow(run.folder).ok


@pytest.mark.long
def test_a_pod_that_is_gone_has_nothing_to_fetch_as_others_trained_its_rows(tmp_path: Path) -> None:
    run = _flow(tmp_path, GONE)
    assert run.code == 0, run.output
    assert _fetched(run) == {"r0", "r1", "r2", "r3"}
    assert _fetch_of_pod2(run)["phase_status"] == "skip"
    assert "pod2 is gone: " in _fetch_of_pod2(run)["facts"]["skip_reason"]
    assert verify_flow(run.folder).ok


def test_rows_that_are_lost_with_their_pod_fail_its_fetch_by_name(tmp_path: Path) -> None:
    run = _flow(tmp_path, GONE, "rebalance._recoveries = lambda *args: []")
    assert run.code == 1, run.output
    assert "pod2 is gone: how rows r1, r3 ended is unknown" in _fetch_of_pod2(run)["error"]
    assert _fetched(run) == {"r0", "r2"}
    assert run.record("flow.summary")["failed_phase"] == "P70"
