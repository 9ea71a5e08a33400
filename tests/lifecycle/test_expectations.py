"""Metrics as law: a row that trained well and to the wrong numbers fails, and is told so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.slow

ALL = ("--wf-wait=true", "--wf-fetch=all")
HEADER = "run_id,config,seed,overrides,notes,expect"
OWN = """\
import pytest


@pytest.mark.phase("P70", rows=True)
def test_row_learns(wf_run):
    \"\"\"The loss is in the range that was written down before.\"\"\"
    wf_run.follow()
    assert wf_run.metrics["train_loss"] < 1.2
"""


def _write_rows(project: Any, *rows: str) -> None:
    (project.root / "flows" / "sweep.csv").write_text("\n".join([HEADER, *rows, ""]))


def _properties(project: Any) -> dict[str, str]:
    found = ElementTree.parse(project.root / "reports" / "junit.xml").iter("property")
    return {p.attrib["name"]: p.attrib["value"] for p in found}


def test_a_row_that_breaks_its_expectations_fails_and_nothing_else_does(
    new_project: Callable[..., Any],
) -> None:
    project = new_project()
    _write_rows(
        project,
        "good,default.py,1,,,",
        "short,default.py,2,steps=2,,train_loss<1.6",
        "bad,default.py,3,,,train_loss < 0.5; tokens_per_s>=1",
    )
    project.configure(WF_EXPECT="train_loss<1.2")
    (project.root / "flows" / "test_quality.py").write_text(OWN)
    flown = project.flow(*ALL)
    assert flown.code == 1, flown.output
    assert "expected train_loss<1.2, was 1.5" in flown.output
    assert (
        "because: expected train_loss<0.5, was 1; expected tokens_per_s>=1, was not reported\n"
        in flown.output
    )
    assert "3 failed" in flown.output  # two by their expectations, one by its author's assertion
    summary = flown.record("flow.summary")
    rows = {row["run_id"]: row for row in summary["rows"]}
    assert [rows[name]["ok"] for name in ("good", "short", "bad")] == [True, False, False]
    assert [rows[name]["state"] for name in ("good", "short", "bad")] == [
        "success",
        "failed",
        "failed",
    ]
    assert (rows["good"]["failure_class"], rows["bad"]["failure_class"]) == (None, "expect")
    assert (summary["failure_code"], summary["failure_kind"]) == (422, "row-expectation")
    assert summary["counts"]["rows_failed"] == 2
    page = (project.root / "reports" / "report.html").read_text()
    assert "wf logs short" in page and "--wf-sweep=resume" not in page, "it trains neither again"
    # the phases are none the worse for it: everything was fetched, and the court agrees
    assert {phase["court"] for phase in summary["phases"]} == {"pass"}
    seen = flown.record("phase.P70.evidence")
    assert seen["facts"]["baseline"] == {}
    assert seen["rows"]["short"]["expectations"] == [
        {
            "clause": "train_loss<1.2",
            "expected": "train_loss<1.2",
            "bound": 1.2,
            "actual": 1.5,
            "was": "1.5",
            "ok": False,
        },
        {
            "clause": "train_loss<1.6",
            "expected": "train_loss<1.6",
            "bound": 1.6,
            "actual": 1.5,
            "was": "1.5",
            "ok": True,
        },
    ]
    assert json.loads((project.outputs / "bad" / "summary.json").read_text())["ok"] is True
    said = _properties(project)
    short = "test_row_trains_to_its_end[short]/wf."
    assert (said[f"{short}code"], said[f"{short}failure_class"]) == ("422", "expect")
    assert said[f"{short}expect.1"] == "broken: train_loss<1.2, was 1.5"
    assert said[f"{short}expect.2"] == "met: train_loss<1.6, was 1.5"
    page = (project.root / "reports" / "report.html").read_text()
    assert '<span class="why">expected train_loss&lt;1.2, was 1.5</span>' in page
    status = project.wf("sweep-status")
    assert status.stdout.splitlines()[-1].startswith("total=3 ok=1 failed=2 ")
    assert re.search(
        r"(?m)^  short +failed expect .* expected train_loss<1\.2, was 1\.5$", status.stdout
    )
    assert project.wf("sweep-watch").returncode == 1
    # its training ended well: a resume trains nothing again, and finds the same
    resumed = project.flow("--wf-sweep=resume", *ALL)
    assert resumed.code == 1
    assert resumed.record("flow.summary")["counts"]["rows_failed"] == 2
    assert len((project.outputs / "bad" / "out" / "argv.json").read_text().splitlines()) == 1
    assert "not ok" in project.wf("baseline", "set", str(resumed.folder)).stderr


@pytest.mark.long
def test_a_baseline_of_a_good_flow_is_what_later_ones_are_held_against(
    new_project: Callable[..., Any],
) -> None:
    project = new_project()
    first = project.flow(*ALL)
    assert first.code == 0, first.output
    measure = first.folder.name
    done = project.wf("baseline", "set", str(first.folder))
    assert done.returncode == 0, done.stderr
    assert "baseline: flows/baseline.json, 2 rows of f-" in done.stdout
    assert "  one: step=2 train_loss=1 val_loss=1\n" in project.wf("baseline", "show").stdout
    _write_rows(
        project,
        "one,default.py,1,,,train_loss<=baseline; min(train_loss)<=baseline; max(Train_Loss)<4",
        "two,default.py,2,steps=2,,train_loss<1.1*baseline",
    )
    project.configure(SWEEP_FORCE="1")
    second = project.flow(*ALL)
    assert second.code == 1, second.output
    assert "expected train_loss<1.1*baseline (1.1), was 1.5" in second.output
    rows = {row["run_id"]: row["ok"] for row in second.record("flow.summary")["rows"]}
    assert rows == {"one": True, "two": False}
    judged = second.record("phase.P70.evidence")
    kept = next(
        a for a in second.record("phase.P00.evidence")["artifacts"] if a["role"] == "baseline"
    )
    assert judged["facts"]["baseline"]["sha256"] == kept["sha256"]
    assert judged["facts"]["baseline"]["flow_id"] == measure
    assert judged["rows"]["two"]["expectations"][0]["baseline"] == 1
    assert project.wf("verify", str(second.folder)).returncode == 0
    (project.root / "flows" / "baseline.json").unlink()
    refused = project.flow(*ALL)
    assert refused.code == 4
    assert 'flows/sweep.csv:2: expect="train_loss<=baseline; min' in refused.output
    assert "there is no flows/baseline.json" in refused.output
