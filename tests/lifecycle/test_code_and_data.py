"""P40 and P50 of whole flows: code by bundle, a contract on data, warnings, what is kept."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import commit_all

pytestmark = pytest.mark.slow

HOOK = """\
from pytest_wf.project.data_contract import DataContract


def pytest_wf_data_contracts(config, rows):
    assert [row.run_id for row in rows] == ["one", "two"]
    command = 'test -s "$DATA_DIR/books.txt" && echo \\'{"books": 3}\\''
    return [DataContract("books", command, remedy="Write some books.")]
"""


@pytest.fixture
def trained_elsewhere(project: Any, tmp_path: Path) -> Path:
    """The project trains code of another repository, which only this machine may read."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "train").mkdir(parents=True)
    for name in ("train.py", "default.py"):
        content = (project.root / "train" / name).read_text()
        (elsewhere / "train" / name).write_text(content)
    subprocess.run(["git", "init", "-q", "-b", "main", str(elsewhere)], check=True)
    commit_all(elsewhere, "Train")
    return elsewhere


@pytest.mark.long
def test_a_flow_on_a_repository_that_travels_as_a_bundle(
    project: Any, trained_elsewhere: Path, tmp_path: Path
) -> None:
    warn = tmp_path / "warn.sh"
    warn.write_text("echo the motd is gone; exit 7\n")
    project.configure(
        REPO_URL=str(trained_elsewhere),
        CHECKOUT_VIA="bundle",
        CHECKOUT_BRANCH="main",
        CHECKOUT_INSTALL_CMD="echo installing; touch installed",
        BOOTSTRAP_SCRIPT=str(warn),
    )
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 0, flown.output
    head = ["git", "-C", str(trained_elsewhere), "rev-parse", "HEAD"]
    sha = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    evidence = flown.record("phase.P50.evidence")
    facts = evidence["facts"]
    assert (evidence["git_sha"], facts["remote"]) == (sha, str(trained_elsewhere))
    assert facts["installed"] is True
    assert facts["packages_count"] > 0
    kept = {Path(a["path"]).name: a for a in evidence["artifacts"]}
    assert kept["pip-freeze.txt"]["sha256"] == facts["packages_sha256"]
    assert "installing" in (flown.folder / kept["install.log"]["path"]).read_text()
    tree = flown.record("phase.P60.evidence")["facts"]["tree"]
    assert f"cd -- {tree}/train" in (project.outputs / "one" / "command.sh").read_text()
    checklist = (project.root / "reports" / "checklist.md.last").read_text()
    assert "P40 warning: BOOTSTRAP_SCRIPT=" in checklist
    assert "exit status 7: the motd is gone" in checklist
    assert "P40 warning: BOOTSTRAP_SCRIPT=" in flown.output
    again = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert again.code == 0, again.output
    assert again.record("phase.P50.evidence")["facts"]["install_skipped"] is True


def test_a_data_contract_of_the_project_holds_or_stops_the_flow(
    project: Any, tmp_path: Path
) -> None:
    (project.root / "conftest.py").write_text(HOOK)
    project.configure(DATA_DIR=str(tmp_path / "data"))
    stopped = project.flow("--wf-wait=true")
    assert stopped.record("phase.P50.verdict")["code"] == 318
    assert "the data contract 'books' does not hold" in stopped.output
    assert "Write some books." in stopped.output
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "books.txt").write_text("three of them\n")
    flown = project.flow("--wf-wait=true")
    assert flown.code == 0, flown.output
    contracts = {d["contract"]: d for d in flown.record("phase.P50.evidence")["facts"]["data"]}
    assert contracts["books"]["facts"] == {"books": 3}
    assert contracts["fineweb"]["checked"] is False


@pytest.mark.long
def test_a_resume_goes_on_after_a_later_checkout(project: Any) -> None:
    csv = project.root / "flows" / "sweep.csv"
    csv.write_text("run_id,config,seed,overrides,notes\none,default.py,1,exit=3,\n")
    project.configure(RUN_RETRIES="0")
    first = project.flow("--wf-wait=true")
    assert first.code == 1
    trainer = project.root / "train" / "train.py"
    trainer.write_text("raise SystemExit('the later code')\n")
    commit_all(project.root, "Later")
    assert project.wf("checkout").returncode == 0
    named = first.record("phase.P60.evidence")["campaign_id"]
    resumed = project.flow("--wf-sweep=resume", f"--wf-campaign={named}", "--wf-wait=true")
    assert resumed.record("phase.P50.verdict")["phase_pass"] is True
    log = (project.outputs / "one" / "stdout.log").read_text()
    assert "gives up on purpose" in log
    assert "the later code" not in log
