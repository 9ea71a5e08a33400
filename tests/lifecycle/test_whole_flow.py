"""The whole lifecycle on the local pod, from nothing to verified results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import junitparser
import pytest
from jsonschema import Draft202012Validator

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.records import schemas
from pytest_wf.evidence.verify import verify_flow
from tests.support import golden

#: Ids, file names and contract lines of a flow on one pod, recorded before flows knew several.
_ONE_POD = Path(__file__).parent / "golden" / "one_pod.json"
ALL = ("--wf-wait=true", "--wf-fetch=all")


@pytest.fixture
def flown(project: Any) -> Any:
    """A flow that ran to its end."""
    return project.flow(*ALL)


def test_a_flow_passes_and_leaves_everything_behind(flown: Any) -> None:
    assert flown.code == 0, flown.output
    _every_phase_and_row_is_a_passed_case(flown.root)
    _every_file_of_the_contract_is_there_and_valid(flown)
    _the_checklist_has_a_tick_for_every_phase(flown.root)
    _results_are_here_and_verified(flown.root)
    _the_terminal_contract_is_kept(flown.output)
    _the_pod_has_its_copies(flown)
    assert golden.seen(flown) == json.loads(_ONE_POD.read_text())


def _every_phase_and_row_is_a_passed_case(root: Path) -> None:
    suite = next(iter(junitparser.JUnitXml.fromfile(str(root / "reports" / "junit.xml"))))
    cases = {case.name: case for case in suite}
    assert len(cases) == 13
    assert all(case.is_passed for case in cases.values())
    assert {"test_row_trains_to_its_end[one]", "test_row_trains_to_its_end[two]"} <= set(cases)
    properties = {p.name: p.value for p in suite.properties()}
    assert properties["test_bootstrap/wf.phase"] == "P40"
    assert properties["test_bootstrap/wf.verdict"] == "pass"
    assert len(properties["test_bootstrap/wf.evidence_sha256"]) == 64


def _every_file_of_the_contract_is_there_and_valid(flown: Any) -> None:
    names = ["flow.start", "flow.summary"]
    kinds = ("evidence", "deterministic", "constitutional", "verdict")
    names += [f"phase.{code}.{kind}" for code in CONTRACTS for kind in kinds]
    published = schemas()
    for name in names:
        schema = name if name.startswith("flow") else name.rpartition(".")[2]
        Draft202012Validator(published[f"{schema}.schema.json"]).validate(flown.record(name))
    summary = flown.record("flow.summary")
    assert summary["ok"] is True
    assert summary["counts"] == {"phases_ok": 10, "phases_skip": 1, "rows_ok": 2}
    assert [row["state"] for row in summary["rows"]] == ["success", "success"]


def _the_checklist_has_a_tick_for_every_phase(root: Path) -> None:
    last = (root / "reports" / "checklist.md.last").read_text()
    assert last.count("- [x] P") == 11
    assert "- [x] P40 BOOTSTRAP - " in last
    assert "## Events" in last
    assert (root / "reports" / "checklist.md").read_text().count("- [ ] P") == 11


def _results_are_here_and_verified(root: Path) -> None:
    for run_id in ("one", "two"):
        folder = root / "reports" / "runs" / run_id
        summary = json.loads((folder / "summary.json").read_text())
        Draft202012Validator(schemas()["run.summary.schema.json"]).validate(summary)
        assert summary["ok"] is True
        assert "training " + run_id in (folder / "stdout.log").read_text()
        assert (folder / "attempts" / "1" / "command.sh").is_file()
        assert (folder / "FETCHED.json").is_file()


def _the_terminal_contract_is_kept(output: str) -> None:
    lines = output.splitlines()
    assert "WF_CONSTITUTION_VERSION=1" in lines
    assert "mode=flow" in lines
    assert "transport=local" in lines
    assert "resolved_target=local" in lines
    for code in CONTRACTS:
        status = "skip" if code == "P10" else "ok"
        start = f"PHASE={code} STATUS={status} CODE=0 ARTIFACT="
        assert any(line.startswith(start) for line in lines), code
        court = f"PHASE={code} COURT=pass DET=pass CONST=pass VERDICT="
        assert any(line.startswith(court) for line in lines), code


def _the_pod_has_its_copies(flown: Any) -> None:
    outputs = flown.root / ".wf" / "pod" / "outputs"
    state = json.loads((outputs / "_control" / "workflow_state.json").read_text())
    assert state["state"] == "ARTIFACTS_SYNCED"
    assert (outputs / "_manifests" / "sweep-latest.csv").read_bytes() == (
        flown.root / "flows" / "sweep.csv"
    ).read_bytes()
    assert list((outputs / "_manifests").glob("workflow-*.env"))
    assert list((outputs / "_manifests").glob("flow-f-*.json"))


def test_verify_says_ok_and_then_names_the_one_file_that_was_changed(
    project: Any,
) -> None:
    flown = project.flow(*ALL)
    assert project.wf("verify", str(flown.folder)).returncode == 0
    for path in sorted(flown.folder.iterdir()):
        before = path.read_bytes()
        middle = len(before) // 2
        path.write_bytes(before[:middle] + b"#" + before[middle + 1 :])
        found = verify_flow(flown.folder)
        assert not found.ok, path.name
        assert found.findings[0].startswith(path.name), found.findings
        path.write_bytes(before)
    fetched = project.root / "reports" / "runs" / "one" / "metrics.jsonl"
    fetched.write_bytes(fetched.read_bytes() + b" ")
    told = project.wf("verify", str(flown.folder))
    assert told.returncode == 1
    assert "one/metrics.jsonl: changed" in told.stdout


@pytest.mark.long
def test_a_flow_is_still_verified_when_its_project_has_moved_on(project: Any) -> None:
    first = project.flow(*ALL)
    folder = first.folder
    project.configure(SWEEP_FORCE="1")
    assert project.flow(*ALL).code == 0
    told = project.wf("verify", str(folder))
    assert told.returncode == 0, told.stdout
    earlier = project.root / "reports" / "runs" / ".superseded" / folder.name / "one"
    log = earlier / "stdout.log"
    log.write_bytes(log.read_bytes() + b" ")
    assert f"{folder.name}/one/stdout.log: changed" in project.wf("verify", str(folder)).stdout


def test_a_failed_row_fails_its_case_and_nothing_else(new_project: Callable[..., Any]) -> None:
    project = new_project(
        rows=("good,default.py,1,,", "bad,default.py,1,exit=3,", "last,default.py,1,,")
    )
    flown = project.flow(*ALL)
    assert flown.code == 1, flown.output
    assert "13 passed" in flown.output
    assert "the trainer gives up on purpose" in flown.output
    summary = flown.record("flow.summary")
    assert [row["state"] for row in summary["rows"]] == ["success", "failed", "success"]
    assert summary["failure_code"] == 421
    assert all(phase["court"] == "pass" for phase in summary["phases"])
    runs = project.root / "reports" / "runs"
    assert sorted(path.name for path in runs.iterdir()) == ["bad", "good", "last"]


def test_a_copied_project_works_without_the_test_extras(new_project: Callable[..., Any]) -> None:
    project = new_project()
    assert project.flow("--collect-only", "-q").code == 0
    assert project.flow(*ALL, "-q").code == 0
