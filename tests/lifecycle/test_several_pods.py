"""Whole flows on several pods: three on this machine, with folders of their own."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import junitparser
import pytest

from pytest_wf.evidence.verify import verify_flow
from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.flow_project import FlowRun, Project
from tests.support.waiting import until

ALL = ("--wf-wait=true", "--wf-fetch=all")
#: Fails on the third pod.
_POST_CMD = 'test "$PWD" = "${PWD#*/pod3/}"'


def _project(base: Path, rows: list[str], **config: str) -> Project:
    root = base / "project"
    root.mkdir(parents=True)
    keys = {"WF_PODS": "3", "RUN_RETRIES": "0", **config}
    return Project(
        write_project(root, rows=rows, config=keys), environment.clean_environ(base / "home")
    )


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> FlowRun:
    """A flow of six rows, of which one fails, on three pods, of which one fails in P50."""
    base = tmp_path_factory.mktemp("fleet")
    rows = [f"r{i},default.py,{i},{'exit=3' if i == 3 else ''}," for i in range(6)]
    project = _project(base, rows, WF_PODS_MIN="2", CHECKOUT_POST_CMD=_POST_CMD)
    return project.flow(*ALL, "-n", "3")


def _cases(run: FlowRun) -> dict[str, Any]:
    suite = next(iter(junitparser.JUnitXml.fromfile(str(run.root / "reports" / "junit.xml"))))
    # pytest gives no name to a case that it was reporting when it was interrupted
    return {case.name: case for case in suite if case.name}


def _outcomes(run: FlowRun) -> dict[str, str]:
    return {
        name.removeprefix("test_"): "passed"
        if case.is_passed
        else "skipped"
        if case.is_skipped
        else "failed"
        for name, case in _cases(run).items()
    }


def test_a_member_that_fails_halts_alone_and_the_others_train_all_rows(flown: FlowRun) -> None:
    assert flown.code == 1, flown.output
    found = _outcomes(flown)
    assert found["checkout[pod3]"] == "failed"
    left = ("sweep_is_under_way", "fetch")
    assert [found[f"{name}[pod3]"] for name in left] == ["skipped"] * 2
    assert found["teardown[pod3]"] == "passed"
    others = [name for name in found if "[pod1]" in name or "[pod2]" in name]
    assert len(others) == 12 and all(found[name] == "passed" for name in others)
    rows = {name: found[f"row_trains_to_its_end[{name}]"] for name in ("r0", "r1", "r2", "r3")}
    assert rows == {"r0": "passed", "r1": "passed", "r2": "passed", "r3": "failed"}


def test_each_row_is_trained_by_the_member_that_owns_it(flown: FlowRun) -> None:
    fleet = flown.record("fleet")
    owners = {run_id: owner for run_id, (owner, _) in fleet["assignment"].items()}
    assert Counter(owners.values()) == {"pod1": 3, "pod2": 3}
    suite = next(iter(junitparser.JUnitXml.fromfile(str(flown.root / "reports" / "junit.xml"))))
    facts = {p.name: p.value for p in suite.properties()}
    for run_id, owner in owners.items():
        assert facts[f"test_row_trains_to_its_end[{run_id}]/wf.pod"] == owner
        assert (flown.root / ".wf/pod" / owner / "outputs" / run_id / "summary.json").is_file()
        assert (flown.root / "reports/runs" / run_id / "summary.json").is_file()


def test_each_member_states_where_the_files_of_its_rows_come_from(flown: FlowRun) -> None:
    found: dict[str, set[str]] = {"pod1": set(), "pod2": set()}
    for run_id, (owner, _) in flown.record("fleet")["assignment"].items():
        found[owner].add(run_id)
    for member, rows in found.items():
        statement = flown.record(f"pods/{member}/provenance.intoto")
        assert {file["name"].partition("/")[0] for file in statement["subject"]} == rows
    assert not (flown.folder / "pods/pod3/provenance.intoto.json").exists()


def test_the_summary_names_the_member_that_failed(flown: FlowRun) -> None:
    summary = flown.record("flow.summary")
    assert summary["failed_phase"] == "P50"
    assert summary["error"]["message"].startswith("pod3: ")
    assert {one["member"]: one["ok"] for one in summary["members"]} == {
        "pod1": True,
        "pod2": True,
        "pod3": False,
    }
    assert summary["counts"]["rows_ok"] == 5


def test_contract_lines_and_the_header_name_the_member(flown: FlowRun) -> None:
    assert flown.line("resolved_target.pod2=") == "resolved_target.pod2=local"
    assert "CODE=0" in flown.line("PHASE=P50 POD=pod1 STATUS=ok")
    assert flown.line("PHASE=P50 POD=pod3 STATUS=fail")
    assert flown.line("PHASE=P70 STATUS=ok")


def test_the_checklist_ticks_what_every_member_has_passed(flown: FlowRun) -> None:
    text = (flown.root / "reports" / "checklist.md.last").read_text()
    assert "- [x] P40" in text and "- [ ] P50" in text and "- [x] P90" in text
    assert "pod3: P50 failed" in text


def test_the_page_shows_the_phases_and_rows_of_each_pod(flown: FlowRun) -> None:
    page = (flown.root / "reports" / "report.html").read_text()
    assert "rows on pod1" in page and "rows on pod2" in page
    assert page.count('<span class="quiet">pod3</span>') == 6


def test_verification_goes_through_all_members_and_names_the_changed_one(
    flown: FlowRun, tmp_path: Path
) -> None:
    result = verify_flow(flown.folder)
    assert result.ok, result.findings
    record = flown.folder / "pods" / "pod2" / "phase.P50.evidence.json"
    before = record.read_bytes()
    record.write_bytes(before.replace(b'"P50"', b'"P51"', 1))
    try:
        found = verify_flow(flown.folder)
    finally:
        record.write_bytes(before)
    assert not found.ok
    assert all(line.startswith("pods/pod2/phase.P50.evidence.json: ") for line in found.findings)


def test_commands_speak_of_all_pods_or_of_the_one_that_is_named(flown: FlowRun) -> None:
    project = Project(flown.root, environment.clean_environ(flown.root.parent / "home"))
    every = json.loads(project.wf("sweep-status", "--json").stdout)["pods"]
    assert list(every) == ["pod1", "pod2", "pod3"]
    own = [row["run_id"] for row in every["pod2"]["rows"] if row["state"] != "other_pod"]
    one = project.wf("fsm-status", "--pod=pod2")
    assert one.returncode == 0 and "SWEEP_" in one.stdout + "ARTIFACTS_" and own
    refused = project.wf("task-list")
    assert refused.returncode == 4
    assert "--pod" in refused.stderr and "pod1, pod2, pod3" in refused.stderr
    log = project.wf("logs", own[0])
    assert f"training {own[0]}" in log.stdout


def test_two_members_on_one_outputs_folder_are_refused(tmp_path: Path) -> None:
    shared = {"OPS_REMOTE_OUTPUTS_DIR": str(tmp_path / "shared"), "WF_PODS": "2"}
    run = _project(tmp_path, ["one,default.py,1,,"], **shared).flow()
    assert run.code == 1
    found = _outcomes(run)
    assert sorted((found["pod_ready[pod1]"], found["pod_ready[pod2]"])) == ["failed", "passed"]
    assert "has the outputs folder of another pod of this flow" in run.output
    assert found["sweep_is_under_way[pod1]"] == found["sweep_is_under_way[pod2]"] == "skipped"


def test_two_members_with_the_same_gpus_are_refused(tmp_path: Path) -> None:
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(
        "#!/bin/sh\ncase $1 in --query-gpu=*uuid) echo 0, H200, 141000, 550.1, GPU-a;; esac\n"
    )
    smi.chmod(0o755)
    project = _project(tmp_path, ["one,default.py,1,,"], WF_PODS="2")
    path = f"{smi.parent}:{project.environ['PATH']}"
    run = Project(project.root, {**project.environ, "PATH": path}).flow()
    assert run.code == 1
    found = _outcomes(run)
    assert sorted((found["pod_ready[pod1]"], found["pod_ready[pod2]"])) == ["failed", "passed"]
    assert re.search(r"pod\d has GPUs of pod\d: they are one machine", run.output)
    assert found["sweep_is_under_way[pod1]"] == found["sweep_is_under_way[pod2]"] == "skipped"
    assert found["teardown[pod1]"] == found["teardown[pod2]"] == "passed"


def test_an_interrupted_flow_keeps_every_pod_and_resumes_with_one_attempt_a_row(
    tmp_path: Path,
) -> None:
    go = tmp_path / "go"
    rows = [f"r{i},default.py,{i},wait_for={go}," for i in range(2)]
    project = _project(tmp_path, rows, WF_PODS="2")
    begun = project.start(*ALL)
    logs = [project.root / ".wf/pod" / f"pod{i + 1}" / f"outputs/r{i}/stdout.log" for i in range(2)]
    until(lambda: all(log.is_file() and log.stat().st_size for log in logs))
    os.killpg(begun.process.pid, signal.SIGINT)
    begun.wait()
    assert begun.code == 2, begun.output
    found = _outcomes(begun)
    assert found["teardown[pod1]"] == found["teardown[pod2]"] == found["summary"] == "passed"
    assert verify_flow(begun.folder).ok
    go.touch()
    resumed = project.flow(*ALL, "--wf-sweep=resume")
    assert resumed.code == 0, resumed.output
    summary = resumed.record("flow.summary")
    assert {row["run_id"]: row["attempts"] for row in summary["rows"]} == {"r0": 1, "r1": 1}


#: Takes the place of a provider that names the price of its pods.
_PRICED = """
from pytest_wf.flow.money import spending
from pytest_wf.flow.money.budget import PricedPod

spending.priced_pod = lambda flow: PricedPod(1.0, flow.started_at)
"""


@pytest.mark.long
def test_p60_estimates_a_resumed_sweep_once_from_the_rows_that_ended_earlier(
    tmp_path: Path,
) -> None:
    go = tmp_path / "go"
    rows = ["r0,default.py,0,,", *(f"r{i},default.py,{i},wait_for={go}," for i in (1, 2))]
    project = _project(tmp_path, rows, WF_PODS="2")
    (project.root / "conftest.py").write_text(_PRICED)
    assert project.flow().code == 0
    until(lambda: bool(list(project.root.glob(".wf/pod/pod?/outputs/r0/summary.json"))))
    run = project.start(*ALL, "--wf-sweep=resume")
    last = "pods/pod2/phase.P60.evidence"
    ended = f"reports/flows/*/{last}.json"
    until(lambda: len(list(project.root.glob(ended))) == 2 or run.process.poll() is not None)
    go.touch()
    assert run.wait().code == 0, run.output
    (line,) = [line for line in run.output.splitlines() if "estimate: " in line]
    assert line.startswith("wf: estimate: 2 rows to end in about ") and "by earlier rows" in line
    assert run.record(last)["facts"]["estimate"]["line"] == line.removeprefix("wf: ")
    others = [run.record(name)["facts"] for name in (last.replace("2", "1"), "phase.P70.evidence")]
    assert not any("estimate" in facts for facts in others)
