"""The page of a flow whose controller was killed with kill -9: what is known, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.report.build import build
from pytest_wf.report.page import write_report
from pytest_wf.report.views import verdict
from pytest_wf.testing import write_project

pytestmark = pytest.mark.slow

#: Kills the controller where a phase's body would begin, or when one of its records stands.
KILLER = """\
import os, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    mark = item.get_closest_marker("phase")
    if "body " + mark.args[0] == os.environ["KILL_AT"] and not mark.kwargs.get("rows"):
        os.kill(os.getpid(), 9)

def pytest_wf_record(kind, record, path):
    if f"{kind} {record.get('phase_id')}" == os.environ["KILL_AT"]:
        os.kill(os.getpid(), 9)
"""
#: What the phases before it have made of the pod, and what is known of the flow's two rows.
STATE = {"P40": "POD_READY", "P50": "BOOTSTRAPPED", "P60": "CHECKED_OUT", "P70": "SWEEP_RUNNING"}
STATE |= dict.fromkeys(("P80", "P90", "P99"), "SWEEP_COMPLETED")
AGAIN = "pytest flows/ --wf-flow --wf-wait=true"
RESUME = "pytest flows/ --wf-flow --wf-sweep=resume --wf-wait=true"


def killed(tmp_path: Path, at: str) -> Path:
    """The folder of a flow that was killed there."""
    root = tmp_path / "project"
    root.mkdir()
    write_project(root, rows=("good,default.py,1,,", "bad,default.py,2,exit=3,"))
    (root / "conftest.py").write_text(KILLER)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "flows/", "--wf-flow", "--wf-wait=true"],
        cwd=root,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KILL_AT": at},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -9, done.stdout
    [folder] = (root / "reports" / "flows").iterdir()
    return folder


def shown(folder: Path) -> Any:
    """The page's one flow, drawn and found in the HTML, too."""
    page = write_report([folder], folder.parent.parent / "report.html")
    flow = build([folder], folder.parent)
    html = page.read_text(encoding="utf-8")
    assert f"<h1>{flow.flows[0].outcome.headline}</h1>" in html
    data = json.loads(html.split('id="page-data">')[1].split("</script>")[0])
    assert [row["state"] for row in data["rows"]] == [row.state for row in flow.rows]
    return flow


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param(code, marks=() if code in ("P10", "P70", "P90") else pytest.mark.long)
        for code in CONTRACTS
    ],
)
def test_where_it_ended_and_what_is_known_of_pod_and_rows(tmp_path: Path, phase: str) -> None:
    page = shown(killed(tmp_path, f"body {phase}"))
    [flow] = page.flows
    found = verdict.show(flow)
    said = " ".join(found.result.explained)
    assert found.result.outcome == "unfinished"
    assert found.result.headline == f"Not finished: it ended at {phase} {CONTRACTS[phase].name}"
    assert "left no record: the flow ended in it or just before it." in said
    assert found.ended_at == "" and found.duration_s is None
    before = [code for code in CONTRACTS if code < phase]
    assert [p.code for p in flow.phases if p.court == "pass"] == before
    assert [p.code for p in flow.phases if p.status == "none"] == sorted({*CONTRACTS} - {*before})
    assert ("No phase was judged." in said) == (phase == "P00")
    state = f"The pod's state was {STATE[phase]} when " if phase in STATE else ""
    assert state in said and ("The pod's state was" in said) == bool(state)
    rows = {row.run_id: row.state for row in page.rows}
    if phase < "P60":
        assert set(rows.values()) == {"not launched"}
        assert "None of 2 rows was launched." in said
        assert found.result.next_command == AGAIN
    elif phase == "P60":
        assert set(rows.values()) == {"unknown"}
        assert "Whether its 2 rows were launched is not recorded." in said
        assert found.result.next_command == "wf sweep-status"
    elif phase == "P70":
        assert set(rows.values()) == {"unknown"}
        assert "Its 2 rows were launched; how they went on is not recorded here." in said
        assert found.result.next_command == RESUME
    else:
        assert rows == {"good": "success", "bad": "failed"}
        assert "1 of 2 rows are ok; 1 failed." in said
        assert found.result.next_command == RESUME


def test_evidence_without_a_verdict_is_shown_as_not_judged(tmp_path: Path) -> None:
    page = shown(killed(tmp_path, "evidence P70"))
    [flow] = page.flows
    assert flow.outcome.headline == "Not finished: it ended in P70 MONITOR"
    assert "has evidence and no verdict" in flow.outcome.explained[0]
    [open_] = [p for p in flow.phases if p.status == "open"]
    assert (open_.code, open_.court) == ("P70", "none")
    # what evidence says of the rows counts, judged or not
    assert {row.state for row in page.rows} == {"success", "failed"}
