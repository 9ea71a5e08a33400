"""Allure: what its results hold, and what its own report makes of them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pytest_wf.court.deterministic import VerdictContext, verdict
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.errors import NotAwaited
from pytest_wf.flow.operations.sweep import Sweep
from pytest_wf.flow.phase import Halt, PhaseRecord
from pytest_wf.flow.rows.row_text import failure_of
from pytest_wf.plugin.allure.files import (
    as_properties,
    categories,
    commit_url,
    executor,
    write_files,
)
from pytest_wf.plugin.allure.view import FULL_ROWS
from pytest_wf.plugin.failure_text import court_text
from pytest_wf.project.expectations import Expectations
from pytest_wf.testing import write_project
from pytest_wf.wire.failures import CLASSES
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.states import ROW_FAILED
from tests.support import ROOT
from tests.support import good_flow as good
from tests.support.campaigns import campaign
from tests.support.web_server import files_of, serving

ALLURE = ROOT / "scripts" / "allure.sh"
BUILD = {"GITLAB_CI": "true", "CI_JOB_NAME": "sweep", "CI_PIPELINE_IID": "7"}

PHASES = """
import allure
import pytest


@allure.severity(allure.severity_level.MINOR)
@pytest.mark.phase("P85", command="lose")
def test_loses():
    \"\"\"Halts the flow at its end.\"\"\"
    with allure.step("the author's own step"):
        pass
    raise AssertionError("lost")
"""


class Results:
    """The results of one flow, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = [json.loads(path.read_text()) for path in folder.glob("*-result.json")]
        self.by_name: dict[str, dict[str, Any]] = {result["name"]: result for result in found}

    def labels(self, name: str) -> dict[str, str]:
        return {label["name"]: label["value"] for label in self.by_name[name]["labels"]}

    def attached(self, name: str) -> dict[str, str]:
        """Texts of a result's attachments by their names."""
        found = self.by_name[name].get("attachments", [])
        return {a["name"]: (self.folder / a["source"]).read_text() for a in found}

    def steps(self, name: str) -> dict[str, dict[str, Any]]:
        return {step["name"]: step for step in self.by_name[name]["steps"]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A good row, a failed one, a phase that halts at the end; run as a CI job."""
    root = write_project(
        tmp_path_factory.mktemp("allure"),
        rows=("good,default.py,1,,", "bad,default.py,1,exit=3,"),
    )
    (root / "flows" / "test_more.py").write_text(PHASES)
    environ = {k: v for k, v in os.environ.items() if k not in ("GITHUB_ACTIONS", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "flows/", "--wf-flow", "--wf-wait=true"],
        cwd=root,
        env={**environ, **BUILD},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    return Results(root / "reports" / "allure-results")


def test_a_phase_shows_its_work_and_both_layers_of_its_court(results: Results) -> None:
    steps = results.steps("P50 CHECKOUT")
    assert list(steps) == ["work", "court, deterministic layer", "court, auditor"]
    assert [step["name"] for step in steps["work"]["steps"]] == ["checkout"]
    checks = [step["name"] for step in steps["court, deterministic layer"]["steps"]]
    assert {"outcome", "config-unchanged", "transition-legal"} <= set(checks)
    assert {step["status"] for step in steps.values()} == {"passed"}
    assert steps["work"]["stop"] >= steps["work"]["start"] > 0
    assert results.labels("P50 CHECKOUT")["parentSuite"] == "lifecycle"
    assert {"evidence", "verdict", "checkout-log"} <= set(results.attached("P50 CHECKOUT"))


def test_a_phase_that_a_policy_skipped_is_skipped_with_its_reason(results: Results) -> None:
    result = results.by_name["P10 PROVISION"]
    assert result["status"] == "skipped"
    assert result["statusDetails"]["message"] == result["steps"][0]["statusDetails"]["message"]
    assert results.by_name["P50 CHECKOUT"]["status"] == "passed"


def test_a_lost_court_shows_which_check_failed_and_what_helps(results: Results) -> None:
    name = "P85 LOSES"
    steps = results.steps(name)
    assert [step["name"] for step in steps["work"]["steps"]] == ["the author's own step"]
    assert steps["work"]["status"] == steps["court, deterministic layer"]["status"] == "failed"
    failed = [
        step for step in steps["court, deterministic layer"]["steps"] if step["status"] == "failed"
    ]
    assert "outcome" in [step["name"] for step in failed]
    assert failed[0]["statusDetails"]["message"].startswith("expected: ")
    told = [(label["name"], label["value"]) for label in results.by_name[name]["labels"]]
    assert ("suite", "project phases") in told
    assert [value for key, value in told if key == "severity"] == ["minor"]


def test_a_rows_result_has_its_metrics_times_and_log(results: Results) -> None:
    row = json.loads(results.attached("good")["row"])
    result = results.by_name["good"]
    assert result["stop"] - result["start"] == pytest.approx(1000 * row["duration_s"], abs=5)
    assert json.loads(results.attached("good")["metrics"])["train_loss"] == 1.0
    assert "end of the log" not in results.attached("good")
    assert "the trainer gives up on purpose" in results.attached("bad")["end of the log"]
    told = results.labels("bad")
    assert (told["parentSuite"], told["suite"], told["tag"]) == ("sweep", "failed: user", "user")
    parameters = {p["name"]: p["value"] for p in result["parameters"]}
    assert (parameters["seed"], parameters["rank"]) == ("1", "1")
    assert "overrides" not in parameters
    assert "rank" not in {p["name"] for p in results.by_name["bad"]["parameters"]}


def test_the_summary_has_the_page_and_the_monitor_a_table_of_all_rows(results: Results) -> None:
    page = results.attached("P99 SUMMARY")["report.html"]
    assert page == (results.folder.parent / "report.html").read_text()
    table = list(csv.DictReader(results.attached("P70 MONITOR")["rows"].splitlines()))
    assert [(row["run_id"], row["state"]) for row in table] == [
        ("good", "success"),
        ("bad", "failed"),
    ]


def test_environment_and_build_are_told(results: Results) -> None:
    told = (results.folder / "environment.properties").read_text()
    assert "Transport=local\n" in told
    assert re.search(r"^Commit=[0-9a-f]{40}$", told, re.M)
    assert re.search(r"^Config\\ SHA-256=[0-9a-f]{64}$", told, re.M)
    assert re.search(r"^Best\\ row=good: \S+ [0-9.]+, .*seed \d", told, re.M), told
    build = json.loads((results.folder / "executor.json").read_text())
    assert (build["type"], build["buildName"], build["buildOrder"]) == ("gitlab", "sweep #7", "7")


# ---- Allure's own report ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report that Allure draws; to be served, as its scripts load their data."""
    found = subprocess.run(["sh", str(ALLURE)], capture_output=True, text=True, timeout=200)
    assert found.returncode == 0, found.stderr
    out = tmp_path_factory.mktemp("report")
    words = [str(results.folder), "--config", str(results.folder / "allurerc.json")]
    drawn = subprocess.run(
        ["node", found.stdout.strip(), "awesome", *words, "-o", str(out)],
        cwd=out,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    return out


@pytest.fixture
def page(report: Path, browser: Browser) -> Iterator[Page]:
    """The report in a browser."""
    page = browser.new_page(viewport={"width": 1300, "height": 1200})
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    with serving(files_of(report)) as address:
        page.goto(f"http://{address}/")
        yield page
    page.close()


def said(page: Page, text: str) -> Any:
    return page.get_by_text(text, exact=True).first


@pytest.mark.browser
@pytest.mark.slow
def test_allures_report_shows_phases_rows_steps_and_attachments(page: Page) -> None:
    expect(said(page, "sweep")).to_be_visible()
    said(page, "bad").click()
    expect(said(page, "Category: Rows failed: user")).to_be_visible()
    for text in ("row", "metrics", "end of the log", "run_id"):
        expect(said(page, text)).to_be_visible()


@pytest.mark.browser
@pytest.mark.slow
def test_allures_report_shows_a_lost_court_in_its_phase(page: Page) -> None:
    expect(said(page, "project phases")).to_be_visible()
    said(page, "P85 LOSES").click()  # folders with failures are open
    for text in ("work", "court, deterministic layer", "court, auditor", "evidence", "verdict"):
        expect(said(page, text)).to_be_visible()
    expect(said(page, "Category: Phases that failed")).to_be_visible()


@pytest.mark.browser
@pytest.mark.slow
def test_allures_report_sorts_failures_by_our_categories(page: Page) -> None:
    page.get_by_text(re.compile(r"^Categories")).first.click()
    expect(said(page, "Rows failed: user")).to_be_visible()
    expect(said(page, "Phases that failed")).to_be_visible()


# ---- large sweeps, and what stays the same from one to the next -------------------------------

DRIVER = """
import types

import pytest

from pytest_wf.plugin.allure.view import AllureView
from pytest_wf.project.expectations import Expectations
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import RowStatus

EXPECTED = Expectations("", None)


def row(run_id, bad):
    good = RowStatus(run_id, "success", metrics={"loss": 1.0})
    if run_id == "r17":  # trained to its end, and broke what was expected of it
        good = good._replace(expect="loss<1")
    elif bad:
        good = good._replace(state="failed", failure_class="oom")
    return EXPECTED.judge(good)


class Driver:
    def __init__(self, config):
        rows = [types.SimpleNamespace(run_id=f"r{i}", config="c.py", seed=1, argv=("lr=0.10",))
                for i in range(config.getoption("rows"))]
        self.flow = types.SimpleNamespace(
            project=types.SimpleNamespace(rows=rows),
            watched=types.SimpleNamespace(
                log_tail=lambda run_id: "CUDA out of memory" if run_id.endswith("7") else "",
            ),
        )
        self.view = AllureView(config, None, Redactor())

    def pytest_sessionstart(self):
        self.view.open()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item):
        run_id = item.callspec.params["run_id"]
        try:
            return (yield)
        finally:
            self.view.row_ended(item, row(run_id, run_id.endswith("7")), self.flow)

    def pytest_unconfigure(self):
        self.view.close()


def pytest_addoption(parser):
    parser.addoption("--rows", type=int)


def pytest_configure(config):
    config.pluginmanager.register(Driver(config), "driver")


def pytest_generate_tests(metafunc):
    metafunc.parametrize("run_id", [f"r{i}" for i in range(metafunc.config.getoption("rows"))])
"""


def drive(pytester: pytest.Pytester, rows: int, test: str = "test_row") -> Results:
    """Show synthetic rows through Allure's real reporter; those that end in 7 have failed."""
    pytester.makeconftest(DRIVER)
    pytester.makepyfile(**{test: f"def {test}(run_id):\n    assert not run_id.endswith('7')\n"})
    out = pytester.path / f"results-{test}"
    pytester.runpytest_inprocess(f"{test}.py", f"--rows={rows}", f"--alluredir={out}", "-q")
    return Results(out)


def test_a_large_sweep_is_whole_in_number_and_lean_in_its_good_rows(
    pytester: pytest.Pytester,
) -> None:
    rows = FULL_ROWS + 20
    found = drive(pytester, rows)
    assert len(found.by_name) == rows
    failed = {name for name, result in found.by_name.items() if result["status"] == "failed"}
    assert failed == {f"r{i}" for i in range(rows) if str(i).endswith("7")}
    assert {name for name in found.by_name if found.attached(name)} == failed
    assert set(found.attached("r7")) == {"row", "metrics", "end of the log"}
    assert found.labels("r17")["suite"] == "failed: expect"


def test_a_rows_history_survives_a_test_that_is_moved_and_renamed(
    pytester: pytest.Pytester,
) -> None:
    before, after = drive(pytester, 3), drive(pytester, 2, "test_renamed")
    for name in ("r0", "r1"):
        for key in ("historyId", "testCaseId"):
            assert before.by_name[name][key] == after.by_name[name][key]
        parameters = after.by_name[name]["parameters"]
        assert all(p["excluded"] for p in parameters)
        assert {"name": "lr", "value": "0.1", "excluded": True}.items() <= parameters[-1].items()
    assert len({result["historyId"] for result in before.by_name.values()}) == 3


# ---- files -----------------------------------------------------------------------------------


def category_of(message: str, status: str) -> str:
    """The name of the first category that Allure 2 sorts a result into."""
    return next(
        str(category["name"])
        for category in categories()
        if status in category["matchedStatuses"] and re.fullmatch(category["messageRegex"], message)
    )


@pytest.mark.parametrize("kind", [*CLASSES, None])
@pytest.mark.parametrize("state", sorted(ROW_FAILED))
def test_each_class_of_failed_rows_has_a_category(state: str, kind: str | None) -> None:
    row = RowStatus("a.b", state, attempts=1, exit_code=1, failure_class=kind)
    assert category_of(failure_of(row), "failed") == f"Rows failed: {kind or 'no class'}"


def test_a_row_that_broke_an_expectation_has_a_category_of_its_own() -> None:
    row = Expectations("loss<1", None).judge(RowStatus("a", "success", metrics={"loss": 2.0}))
    assert category_of(failure_of(row), "failed") == "Rows failed: expect"


@pytest.mark.parametrize(
    ("constitutional", "name"),
    [("pass", "Phases that failed"), ("unverified", "Court could not be sure")],
)
def test_a_failed_court_has_a_category(constitutional: str, name: str) -> None:
    decided = verdict(
        good.evidence("P40"),
        CONTRACTS["P40"],
        good.report("P40", passed=False),
        good.answer("P40", constitutional),
        VerdictContext("e" * 64, "d" * 64, "a" * 64, None, True, "2026-01-02T03:04:07Z"),
    )
    record = PhaseRecord(CONTRACTS["P40"], datetime.now(timezone.utc))
    assert category_of(court_text(record, decided), "failed") == name


def test_skipped_cases_have_categories() -> None:
    halt = Halt("P00", 101, "court", "no consent")
    assert category_of(f"Skipped: {halt}", "skipped") == "Halted"
    for state, name in (
        ("running", "Rows not awaited"),
        ("unreadable", "Rows whose end is not known"),
        ("lost", "Rows whose end is not known"),
    ):
        session: Any = SimpleNamespace(
            config=SimpleNamespace(wf_expect=""),
            project=SimpleNamespace(baseline=None),
            request=lambda *_, state=state, **__: campaign(RowStatus("a", state)).as_json(),
        )
        with pytest.raises(NotAwaited) as skipped:
            Sweep(session).follow("a", wait=False)
        assert category_of(f"Skipped: {skipped.value.message}", "skipped") == name


@pytest.mark.parametrize(
    ("repo_url", "url"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b/commit/c0ffee"),
        ("git@github.com:a/b.git", "https://github.com/a/b/commit/c0ffee"),
        ("https://gitlab.com/a/b/", "https://gitlab.com/a/b/-/commit/c0ffee"),
        (".", ""),
        ("ssh://git@host/a/b", ""),
        ("file:///srv/a.git", ""),
    ],
)
def test_a_commit_is_linked_where_its_page_is_known(repo_url: str, url: str) -> None:
    assert commit_url(repo_url, "c0ffee") == url


def test_a_build_is_named_by_what_its_ci_says() -> None:
    assert executor({}) == {}
    github = executor(
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKFLOW": "sweep",
            "GITHUB_RUN_NUMBER": "3",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "a/b",
            "GITHUB_RUN_ID": "99",
        }
    )
    assert github["buildUrl"] == "https://github.com/a/b/actions/runs/99"
    jenkins = executor({"JENKINS_URL": "https://ci/", "JOB_NAME": "s", "BUILD_URL": "https://ci/1"})
    assert (jenkins["type"], jenkins["buildUrl"]) == ("jenkins", "https://ci/1")


def test_properties_are_escaped_as_java_reads_them() -> None:
    facts = {"a key": "C:\\x = y", "name": "Ünï\nnext"}
    assert as_properties(facts) == "a\\ key=C:\\\\x = y\nname=\\u00dcn\\u00ef\\nnext\n"


def test_in_a_folder_of_the_users_own_files_that_stand_stay(tmp_path: Path) -> None:
    (tmp_path / "categories.json").write_text("[]")
    files = {"categories.json": categories(), "environment.properties": "a=b\n"}
    write_files(tmp_path, files, overwrite=False)
    assert (tmp_path / "categories.json").read_text() == "[]"
    assert (tmp_path / "environment.properties").read_text() == "a=b\n"
    write_files(tmp_path, files, overwrite=True)
    assert json.loads((tmp_path / "categories.json").read_text()) == categories()
