"""JUnit as CI systems read it: legal by their schema, times of the real work, facts in reach."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import junitparser
import pytest
from lxml import etree

from pytest_wf.testing import TRAINER, write_project
from pytest_wf.wire.files import sha256_file

#: Of the Jenkins xUnit plugin, as pytest ships it with its tests for the family xunit2.
SCHEMA = Path(__file__).parent / "schemas" / "junit-10.xsd"

#: Gives up in colours, rings, and sends what no XML may hold.
LOUD_TRAINER = TRAINER.replace(
    "the trainer gives up on purpose",
    "\\x1b[31mthe trainer gives up\\x1b[0m on purpose\\x07\\x9b2J\\x00",
)

PHASES = """
import pytest


@pytest.mark.phase("P55", command="note")
def test_notes(record_property):
    \"\"\"Notes what its author found.\"\"\"
    record_property("answer", 42)
    print("the author's own words")


@pytest.mark.phase("P70", rows=True)
def test_is_asked_again(wf_run):
    \"\"\"A second case of each row.\"\"\"
    wf_run.follow()


@pytest.mark.phase("P85", command="lose")
def test_loses():
    \"\"\"Halts the flow at its end.\"\"\"
    raise AssertionError("\\x1b[1mlost\\x1b[0m")
"""


def flow(root: Path, *words: str) -> tuple[Path, Any]:
    """Run a flow; its junit.xml, and the suite that a reader finds in it."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "flows/", "--wf-flow", *words],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    assert "\x1b" not in done.stdout
    path = root / "reports" / "junit.xml"
    (suite,) = junitparser.JUnitXml.fromfile(str(path))
    return path, suite


def is_valid(path: Path) -> bool:
    schema = etree.XMLSchema(file=str(SCHEMA))
    if not schema.validate(etree.parse(str(path))):
        raise AssertionError(schema.error_log)
    return True


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A good row, a failed one, a phase with properties of its own, a halt."""
    root = write_project(
        tmp_path_factory.mktemp("mixed"),
        rows=("good,default.py,1,steps=2 sleep=0.2,", "bad,default.py,1,exit=3,"),
        trainer=LOUD_TRAINER,
    )
    (root / "flows" / "test_more.py").write_text(PHASES)
    return flow(root, "--wf-wait=true", "--wf-fetch=all", "-o", "junit_logging=system-out")


@pytest.fixture(scope="module")
def summary(mixed: tuple[Path, Any]) -> dict[str, Any]:
    (path,) = mixed[0].parent.glob("flows/*/flow.summary.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_file_is_legal_for_jenkins_and_for_pytests_xunit2(mixed: tuple[Path, Any]) -> None:
    assert is_valid(mixed[0])


def test_the_schema_would_refuse_properties_in_a_case(mixed: tuple[Path, Any]) -> None:
    tree = etree.parse(str(mixed[0]))
    etree.SubElement(next(tree.iter("testcase")), "properties")
    assert not etree.XMLSchema(file=str(SCHEMA)).validate(tree)


def test_a_reader_counts_what_the_summary_counts(
    mixed: tuple[Path, Any], summary: dict[str, Any]
) -> None:
    suite, counts = mixed[1], summary["counts"]
    once = [case for case in suite if not case.name.startswith("test_is_asked_again")]
    results = [type(case.result[0]).__name__ if case.result else "passed" for case in once]
    assert results.count("Failure") == counts["phases_fail"] + counts["rows_failed"] == 2
    assert results.count("passed") == (
        counts["phases_ok"] + counts["phases_skip"] + counts["rows_ok"]
    )
    assert len(once) == sum(counts.values())
    assert (suite.tests, suite.failures, suite.errors) == (len(once) + 2, 2, 0)


def test_a_rows_time_is_its_training_and_is_counted_once(
    mixed: tuple[Path, Any], summary: dict[str, Any]
) -> None:
    times = {case.name: case.time for case in mixed[1]}
    trained = {row["run_id"]: row["duration_s"] for row in summary["rows"]}
    assert trained["good"] >= 0.4
    for run_id, duration_s in trained.items():
        assert times[f"test_row_trains_to_its_end[{run_id}]"] == round(duration_s, 3)
        assert times[f"test_is_asked_again[{run_id}]"] != round(duration_s, 3)
    assert mixed[1].time >= summary["duration_s"] > 0


def test_the_suite_says_what_became_of_the_flow(
    mixed: tuple[Path, Any], summary: dict[str, Any]
) -> None:
    told = {p.name: p.value for p in mixed[1].properties()}
    assert told["wf.flow_id"] == summary["flow_id"]
    assert (told["wf.ok"], told["wf.exit_code"]) == ("false", "1")
    assert (told["wf.failed_phase"], told["wf.failure_code"]) == ("P85", "593")
    assert told["wf.chain_head"] == told["test_summary/wf.chain_head"] == summary["chain_head"]
    assert told["wf.best.run_id"] == summary["best"]["run_id"]
    assert told["wf.count.rows_failed"] == "1"
    evidence = told["test_bootstrap/wf.evidence"]
    assert told["test_bootstrap/wf.evidence_sha256"] == sha256_file(evidence)


def test_facts_stand_in_the_output_of_their_case_before_what_it_printed(
    mixed: tuple[Path, Any],
) -> None:
    cases = {case.name: case for case in mixed[1]}
    noted = cases["test_notes"].system_out
    assert noted.splitlines()[0] == "answer=42"
    assert noted.index("wf.phase=P55") < noted.index("the author's own words")
    told = {p.name: p.value for p in mixed[1].properties()}
    assert told["test_notes/answer"] == "42"
    assert "wf.metric.train_loss=1.5" in cases["test_row_trains_to_its_end[good]"].system_out


def test_no_control_character_of_a_log_reaches_the_file(mixed: tuple[Path, Any]) -> None:
    (failure,) = next(c for c in mixed[1] if c.name == "test_row_trains_to_its_end[bad]").result
    assert "the trainer gives up on purpose" in failure.text
    text = mixed[0].read_text()
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|#x[01][0-9A-F]\b", text) == []


def test_a_halted_flow_is_legal_too_and_says_which_phases_it_left_out(tmp_path: Path) -> None:
    root = write_project(tmp_path, config={"WF_SECRET_ENV": "WF_NOBODY_SETS_THIS"})
    path, suite = flow(root)
    assert is_valid(path)
    told = {p.name: p.value for p in suite.properties()}
    assert (told["wf.failed_phase"], told["test_precheck/wf.code"]) == ("P00", "101")
    assert told["test_bootstrap/wf.status"] == "halted"
    assert told["test_row_trains_to_its_end[one]/wf.run_id"] == "one"
    assert (suite.tests, suite.failures, suite.skipped) == (13, 1, 10)


def test_the_older_family_keeps_properties_in_their_cases(tmp_path: Path) -> None:
    root = write_project(tmp_path, config={"WF_SECRET_ENV": "WF_NOBODY_SETS_THIS"})
    _, suite = flow(root, "-o", "junit_family=xunit1")
    case = next(case for case in suite if case.name == "test_precheck")
    told = {p.name: p.value for p in case.child(junitparser.Properties)}
    assert (told["wf.phase"], told["wf.code"]) == ("P00", "101")
    assert not any("/" in p.name for p in suite.properties())
