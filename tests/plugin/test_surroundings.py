"""A flow works wherever it is run from, whatever its path, and whatever of pytest is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_wf.evidence.verify import verify_flow
from pytest_wf.testing import write_project


def run(
    words: Sequence[str],
    cwd: Path,
    *,
    python: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run pytest with `words`, `python` being options of the interpreter."""
    return subprocess.run(
        [sys.executable, *python, "-m", "pytest", *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def halt_at_once(project: Path) -> None:
    config = project / "flows" / "workflow.env"
    config.write_text(config.read_text() + "WF_SECRET_ENV=WF_NOBODY_SETS_THIS\n")


def evidence(project: Path) -> Path:
    (folder,) = (project / "reports" / "flows").iterdir()
    return folder


def test_a_strange_path_seen_from_another_folder_is_a_project_like_any(tmp_path: Path) -> None:
    project = tmp_path / "it's ünlikely; $(touch no)" / "a b"
    project.mkdir(parents=True)
    write_project(project)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = ["--wf-flow", "--wf-wait=true", "--wf-fetch=all", "-p", "no:cacheprovider"]
    done = run([str(project / "flows"), "--rootdir", str(elsewhere), *words], elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "reports" / "junit.xml").is_file()
    assert (project / "reports" / "runs" / "two" / "summary.json").is_file()
    assert verify_flow(evidence(project)).ok
    assert list(elsewhere.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", project.parent.name]


@pytest.mark.parametrize(
    ("cwd", "named"),
    [
        ("/", "{project}/flows"),
        ("{project}/train", "../flows/"),
        ("{project}/flows", "."),
        ("{project}", "flows/test_lifecycle.py"),
        ("{project}", "."),
        ("{project}/..", "."),
    ],
)
def test_the_project_is_the_one_around_the_flow_that_was_named(
    tmp_path: Path, cwd: str, named: str
) -> None:
    project = tmp_path / "above" / "project"
    project.mkdir(parents=True)
    write_project(project)
    (project / "pyproject.toml").unlink()
    words = [named.format(project=project), "--wf-flow", "--collect-only", "-q"]
    done = run([*words, "-p", "no:cacheprovider"], Path(cwd.format(project=project)))
    if cwd.endswith(".."):
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "flows/workflow.env: no such file." in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plan: 11 phases, 2 sweep rows\n")


def test_flows_without_a_config_never_run_under_that_of_a_project_around(project: Path) -> None:
    inner = project / "inner"
    (inner / "flows").mkdir(parents=True)
    (inner / "flows" / "test_lifecycle.py").write_text("raise SystemExit\n")
    for words in (["flows/"], ["flows/test_lifecycle.py"]):
        done = run([*words, "--wf-flow"], inner)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert done.stderr.startswith("ERROR: flows/workflow.env: no such file.")


def test_a_path_that_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    project = tmp_path / "two\nlines"
    project.mkdir()
    write_project(project)
    done = run(["flows/", "--wf-flow"], project)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the project's path contains characters that cannot be shown." in done.stderr


def test_without_python_assertions_a_failed_row_still_fails(tmp_path: Path) -> None:
    project = write_project(tmp_path, rows=("bad,default.py,1,exit=3,",))
    done = run(["flows/", "--wf-flow", "--wf-wait=true"], project, python=["-O"])
    assert done.returncode == 1, done.stdout
    assert "1 failed, 11 passed" in done.stdout


@pytest.mark.parametrize(
    ("words", "python", "said"),
    [
        (["--assert=plain"], ["-O"], "leaves out every assertion"),
        (["-p", "no:timeout"], [], "takes every phase's time limit away"),
    ],
)
def test_a_flow_is_not_run_without_what_it_rests_on(
    project: Path, words: list[str], python: list[str], said: str
) -> None:
    done = run(["flows/", "--wf-flow", *words], project, python=python)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr
    assert not (project / "reports").exists()


@pytest.mark.parametrize(
    "missing", [["terminal"], ["cacheprovider"], ["junitxml", "allure_pytest"], ["logging"]]
)
def test_a_flow_keeps_its_evidence_without_a_part_of_pytest(
    project: Path, missing: list[str]
) -> None:
    halt_at_once(project)
    words = [word for name in missing for word in ("-p", f"no:{name}")]
    done = run(["flows/", "--wf-flow", *words], project)
    assert done.returncode == 1, done.stderr
    assert "PHASE=P99 COURT=pass DET=pass CONST=pass VERDICT=" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert verify_flow(evidence(project)).ok
    assert (project / "reports" / "junit.xml").exists() == ("junitxml" not in missing)


def test_a_flow_runs_with_its_plugins_named_one_by_one(project: Path) -> None:
    halt_at_once(project)
    words = ["-p", "pytest_wf.plugin", "-p", "pytest_timeout"]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run(["flows/", "--wf-flow", *words], project, env=alone)
    assert done.returncode == 1, done.stderr
    assert "11 skipped" not in done.stdout
    assert verify_flow(evidence(project)).ok


def test_a_flow_gives_no_warning_of_its_own(project: Path) -> None:
    done = run(["flows/", "--wf-flow", "--wf-sweep=skip", "-W", "error"], project)
    assert done.returncode == 0, done.stdout
    assert "warnings summary" not in done.stdout


@pytest.mark.parametrize("words", [[], ["-v", "-s"], ["-p", "no:terminal"]])
def test_a_flow_goes_on_when_nobody_reads_any_more(project: Path, words: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "flows/", "--wf-flow", "--wf-sweep=skip", *words],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as flow:
        assert flow.stdout is not None
        flow.stdout.readline()
        flow.stdout.close()
        _, errors = flow.communicate(timeout=120)
    assert (flow.returncode, errors) == (0, "")
    assert verify_flow(evidence(project)).ok


def test_a_flow_goes_on_when_its_log_file_is_full(project: Path) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "flows/", "--wf-flow", "--wf-sweep=skip"],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert verify_flow(evidence(project)).ok
