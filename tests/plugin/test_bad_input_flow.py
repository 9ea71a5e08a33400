"""Every bad config and CSV through pytest itself: exit 4, all problems told, nothing done."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# loaded here, and not anew by each of the runs inside of this process
from pytest_wf.plugin import activate as _activate  # noqa: F401
from pytest_wf.testing import write_project
from tests.support import bad_input

_FORBIDDEN = ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.fork")
_armed = False
_done: list[str] = []
#: Threads that earlier tests left.
_others: set[int | None] = set()


def _note(event: str, args: tuple[Any, ...]) -> None:
    if _armed and event in _FORBIDDEN and threading.get_ident() not in _others:
        _done.append(f"{event} {args!r}")


@pytest.fixture(scope="module", autouse=True)
def _audit() -> None:
    sys.addaudithook(_note)  # it cannot be removed, only disarmed


@pytest.fixture
def contacts() -> Iterator[list[str]]:
    """What this process connected to or started meanwhile."""
    global _armed, _others
    _others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    _done.clear()
    _armed = True
    yield _done
    _armed = False


@pytest.fixture
def bare(pytester: pytest.Pytester) -> Path:
    """A project with a lifecycle, whose config and CSV are still to be written."""
    (pytester.path / "flows").mkdir()
    (pytester.path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (pytester.path / "flows" / "test_lifecycle.py").write_text("raise SystemExit('imported')\n")
    return pytester.path


def everything(root: Path) -> list[str]:
    found = (path.relative_to(root) for path in root.rglob("*"))
    return sorted(str(path) for path in found if "__pycache__" not in path.parts)


def refusal(pytester: pytest.Pytester, *words: str) -> list[str]:
    """The problems that a refused flow tells, when it has left nothing behind."""
    before = everything(pytester.path)
    result = pytester.runpytest_inprocess("flows/", "--wf-flow", *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert everything(pytester.path) == before
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    lines = [line for line in result.errlines if line]
    assert all(line.startswith("ERROR: ") for line in lines), lines
    return [line.removeprefix("ERROR: ") for line in lines]


def told(problems: list[str], bad: bad_input.Bad, origin: str) -> bool:
    place = origin if bad.line is None else f"{origin}:{bad.line}"
    mine = [p for p in problems if p.startswith(f"{place}: {bad.key}")]
    return any(bad.reason in p and bad.remedy in p for p in mine)


@pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name) for bad in bad_input.CONFIGS])
def test_a_bad_config_is_told_and_nothing_is_done(
    pytester: pytest.Pytester, bare: Path, contacts: list[str], bad: bad_input.Bad
) -> None:
    (bare / "flows" / "workflow.env").write_bytes(bad.raw)
    (bare / "sweep.csv").write_text(bad_input.CSV)
    words = ["--wf-provision=skip"] if bad.name == "no target" else []
    problems = refusal(pytester, *words)
    assert told(problems, bad, "flows/workflow.env"), problems
    assert contacts == []


@pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name) for bad in bad_input.SHEETS])
def test_a_bad_sheet_is_told_and_nothing_is_done(
    pytester: pytest.Pytester, bare: Path, contacts: list[str], bad: bad_input.Bad
) -> None:
    (bare / "flows" / "workflow.env").write_text(bad_input.ENV)
    (bare / "sweep.csv").write_bytes(bad.raw)
    problems = refusal(pytester)
    assert told(problems, bad, "sweep.csv"), problems
    assert contacts == []


def test_both_files_are_told_of_at_once(
    pytester: pytest.Pytester, bare: Path, contacts: list[str]
) -> None:
    (bare / "flows" / "workflow.env").write_text(bad_input.ENV + "RUN_RETRIES=x\nSWEEP_FORCE=yes\n")
    (bare / "sweep.csv").write_text(bad_input.CSV + "../evil,c.py,1,,\nb,c.py,one,,\n")
    places = [problem.partition(": ")[0] for problem in refusal(pytester, "--wf-fetch=run:../x")]
    assert places == [
        "command line",
        "flows/workflow.env:6",
        "flows/workflow.env:7",
        "sweep.csv:3",
        "sweep.csv:4",
    ]
    assert contacts == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wf-config=other.env"], 'flows/workflow.env: --wf-config="other.env": another config'),
        (["--wf-csv=absent.csv"], "absent.csv: no such file."),
        (["--wf-csv=flows"], "flows: not a regular file."),
    ],
)
def test_an_option_that_names_a_wrong_file_is_told(
    pytester: pytest.Pytester, bare: Path, contacts: list[str], words: list[str], said: str
) -> None:
    (bare / "flows" / "workflow.env").write_text(bad_input.ENV)
    (bare / "sweep.csv").write_text(bad_input.CSV)
    (bare / "other.env").write_text(bad_input.ENV)
    (problem,) = refusal(pytester, *words)
    assert problem.startswith(said)
    assert contacts == []


def test_a_place_that_cannot_be_written_to_is_told(
    pytester: pytest.Pytester, bare: Path, contacts: list[str]
) -> None:
    (bare / "flows" / "workflow.env").write_text(
        bad_input.ENV + "WF_FLOW_EVIDENCE_DIR=sweep.csv/flows\nWF_CHECKLIST_PATH=sweep.csv/c.md\n"
    )
    (bare / "sweep.csv").write_text(bad_input.CSV + "a,c.py,1,,\n")
    told = refusal(pytester, "--wf-reports=sweep.csv")
    assert [problem.partition("=")[0] for problem in told] == [
        "--wf-reports",
        "WF_FLOW_EVIDENCE_DIR",
        "WF_CHECKLIST_PATH",
    ]
    assert all("sweep.csv is not a folder." in problem for problem in told)
    assert contacts == []


def test_another_config_by_the_environment_is_refused_as_well(
    pytester: pytest.Pytester, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "flows" / "workflow.env").write_text(bad_input.ENV)
    (bare / "sweep.csv").write_text(bad_input.CSV)
    monkeypatch.setenv("WORKFLOW_CONFIG", "other.env")
    (problem,) = refusal(pytester)
    assert 'WORKFLOW_CONFIG="other.env": another config is refused.' in problem


def test_a_project_without_a_config_is_told_so(pytester: pytest.Pytester, bare: Path) -> None:
    (problem,) = refusal(pytester)
    assert problem.startswith("flows/workflow.env: no such file.")
    assert "wf init" in problem


@pytest.mark.parametrize("broken", ["flows/workflow.env", "flows/sweep.csv"])
def test_a_process_of_its_own_refuses_in_the_same_way(tmp_path: Path, broken: str) -> None:
    root = write_project(tmp_path)
    (root / broken).write_bytes(b"caf\xe9\n")
    before = everything(root)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "flows/", "--wf-flow"],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.startswith(f"ERROR: {broken}:1: byte 4 of the line (0xe9) is not UTF-8.")
    assert done.stdout == ""
    assert everything(root) == before


def test_reports_of_somebody_else_are_not_replaced(pytester: pytest.Pytester, bare: Path) -> None:
    (bare / "flows" / "workflow.env").write_text(bad_input.ENV)
    (bare / "sweep.csv").write_text(bad_input.CSV)
    (bare / "out" / "allure-results").mkdir(parents=True)
    for name in ("report.html", "junit.xml", "allure-results/mine-result.json"):
        (bare / "out" / name).write_text("<p>mine</p>")
    told = refusal(pytester, "--wf-reports=out")
    names = ("report.html", "junit.xml", "allure-results")
    assert told == [
        f'--wf-reports="out": {bare}/out/{name} exists, and pytest-wf did not make it. '
        "Move it away, or name another place."
        for name in names
    ]
    told = refusal(pytester, "--wf-reports=out", "--junitxml=out/junit.xml", "--alluredir=a")
    assert [line.split()[1] for line in told] == [f"{bare}/out/report.html"]
