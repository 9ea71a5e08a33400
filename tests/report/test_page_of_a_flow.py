"""The page of real flows: at their end, and when it cannot be drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import write_project
from tests.support.environment import clean_environ

pytestmark = pytest.mark.slow

WF = "from pytest_wf.cli.main import main; main()"

#: Takes the page's place while the flow runs.
IN_THE_WAY = """
import os

import pytest


@pytest.mark.phase("P95", command="block")
def test_blocks():
    \"\"\"Takes the page's place.\"\"\"
    os.mkdir("reports/report.html")
"""

#: Draws the page of the running flow at each look, and keeps a copy of it with a running row.
KEEPS_PAGES = """
import shutil

from pytest_wf.plugin import html_page

html_page.FIRST_S = html_page.EVERY_S = html_page._SHARE = 0
draw = html_page.ReportPage._draw_running


def kept(page):
    draw(page)
    shutil.copy(page._path, "running.html")
    open("go", "w").close()


html_page.ReportPage._draw_running = kept
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    return write_project(root, rows=("good,default.py,1,,", "bad,default.py,2,exit=3,"))


@pytest.fixture
def run(project: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs words in the project with an environment of its own."""
    environ = clean_environ(tmp_path / "home")

    def run_(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=project,
            env={**environ, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run_


def data_of(page: Path) -> Any:
    html = page.read_text(encoding="utf-8")
    start = html.index('id="page-data">') + len('id="page-data">')
    return json.loads(html[start : html.index("</script>", start)])


def test_a_flow_draws_its_page_and_wf_report_draws_it_again(
    project: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    flown = run("-m", "pytest", "flows/", "--wf-flow", "--wf-wait=true")
    assert flown.returncode == 1, flown.stdout
    assert "report: reports/report.html" in flown.stdout.splitlines()
    page = project / "reports" / "report.html"
    before = data_of(page)
    good, bad = before["rows"]
    assert (good["state"], bad["state"]) == ("success", "failed")
    # nothing was fetched: the evidence itself has the end of the failed row's log
    assert bad["log_tail"].endswith("the trainer gives up on purpose")
    [folder] = (project / "reports" / "flows").iterdir()
    assert run("-c", WF, "verify", str(folder)).returncode == 0
    drawn = page.read_bytes()
    again = run("-c", WF, "report")
    page = page.with_name(f"report-{folder.name}.html")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[0] == "WF_CONSTITUTION_VERSION=1"
    assert again.stdout.splitlines()[-1] == f"report: {page}"
    assert data_of(page) == before
    fetched = run("-c", WF, "fetch-all")
    assert fetched.returncode == 0, fetched.stderr
    assert run("-c", WF, "report", str(folder), "--json").returncode == 0
    good = data_of(page)["rows"][0]
    assert good["curves"]["train_loss"] == [[0, 1, 2], [3, 1.5, 1], 3]
    # it has curves now that the flow's own page does not have, which stays as it was drawn
    assert (project / "reports" / "report.html").read_bytes() == drawn
    told = run("-c", WF, "verify", str(folder))
    assert (told.returncode, "reports/report.html: ok" in told.stdout) == (0, True)


def test_the_page_is_drawn_while_the_flow_waits_and_at_its_end_is_the_final_one(
    project: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with (project / "conftest.py").open("a") as f:
        f.write(KEEPS_PAGES)
    rows = ["run_id,config,seed,overrides,notes", f"slow,default.py,1,wait_for={project / 'go'},"]
    (project / "flows" / "sweep.csv").write_text("\n".join([*rows, ""]))
    flown = run("-m", "pytest", "flows/", "--wf-flow", "--wf-wait=true")
    assert flown.returncode == 0, flown.stdout
    running = data_of(project / "running.html")
    assert running["live"]["every_s"] == 0
    assert [row["state"] for row in running["rows"]] == ["running"]
    assert "Running: P70 MONITOR" in (project / "running.html").read_text(encoding="utf-8")
    ended = data_of(project / "reports" / "report.html")
    assert (ended["live"], ended["rows"][0]["state"]) == (None, "success")
    [folder] = (project / "reports" / "flows").iterdir()
    verified = run("-c", WF, "verify", str(folder))
    assert (verified.returncode, "reports/report.html: ok" in verified.stdout) == (0, True)


def test_a_page_that_cannot_be_written_costs_nothing_but_itself(
    project: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (project / "flows" / "test_in_the_way.py").write_text(IN_THE_WAY)
    flown = run("-m", "pytest", "flows/", "--wf-flow", "--wf-sweep=skip")
    assert flown.returncode == 0, flown.stdout
    told = [line for line in flown.stdout.splitlines() if line.startswith("no report: ")]
    assert len(told) == 1
    assert "Write it with `wf report reports/flows/f-" in told[0]
    assert (project / "reports" / "junit.xml").is_file()


def test_wf_report_refuses_what_is_no_flow_with_exit_4(
    project: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    refused = run("-c", WF, "report", "flows", "absent")
    assert refused.returncode == 4
    assert refused.stderr.count("no flow's evidence is there") == 2
    assert not (project / "report-compare.html").exists()
