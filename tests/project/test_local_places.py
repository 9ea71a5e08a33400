"""A flow writes to places of its own on this machine, and never over what a user has."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.errors import InputError
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options
from tests.support.project import ENV, write_flows

CSV = "run_id,config,seed,overrides,notes\nsrc,train.py,1,,\n"


def problems(root: Path, *lines: str, reports: str = "reports") -> list[str]:
    """What loading a project with further config `lines` tells; nothing is written."""
    root.mkdir(exist_ok=True)
    write_flows(root, CSV, ENV + "".join(f"{line}\n" for line in lines))
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    try:
        load_project(root, Options(reports=Path(reports)), {})
    except InputError as e:
        return [str(p) for p in e.problems]
    finally:
        assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before
    return []


def test_the_default_places_are_fine(tmp_path: Path) -> None:
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("WF_FLOW_EVIDENCE_DIR=/", "the root of the file system"),
        ("WF_FLOW_EVIDENCE_DIR=/etc/wf", "a folder of the operating system"),
        ("WF_FLOW_EVIDENCE_DIR=/tmp", "a folder that everything shares"),
        ("WF_FLOW_EVIDENCE_DIR=.", "the project itself"),
        ("WF_FLOW_EVIDENCE_DIR=..", "the project itself, or a folder above it"),
        ("WF_FLOW_EVIDENCE_DIR=.git/flows", "within .git/"),
        ("WF_FLOW_EVIDENCE_DIR=.wf", "within .wf/"),
        ("WF_FLOW_EVIDENCE_DIR=flows", "within flows/"),
        ("WF_FLOW_EVIDENCE_DIR=reports/runs", "the same as LOCAL_ARTIFACTS_DIR"),
        ("WF_FLOW_EVIDENCE_DIR=reports/runs/f", "within LOCAL_ARTIFACTS_DIR"),
        ("LOCAL_ARTIFACTS_DIR=reports/flows/r", "within WF_FLOW_EVIDENCE_DIR"),
        ("LOCAL_ARTIFACTS_DIR=reports/allure-results", "the place of allure-results"),
        ("LOCAL_ARTIFACTS_DIR=~/runs", "'~' is not expanded"),
        ("LOCAL_ARTIFACTS_DIR=.", "the project itself"),
        ("WF_CHECKLIST_PATH=/etc/passwd", "a folder of the operating system"),
        ("WF_CHECKLIST_PATH=.git/config", "within .git/"),
        ("WF_CHECKLIST_PATH=reports/junit.xml", "the place of junit.xml"),
        ("WF_CHECKLIST_PATH=reports/runs/c.md", "within LOCAL_ARTIFACTS_DIR"),
        ("WF_CHECKLIST_PATH=reports/flows", "within WF_FLOW_EVIDENCE_DIR"),
        ("WF_CHECKLIST_PATH=flows/workflow.env", "pytest-wf did not make it"),
        ("WF_CHECKLIST_PATH=flows/sweep.csv", "pytest-wf did not make it"),
        ("WF_CHECKLIST_PATH=docs/notes.md", "docs/notes.md exists, and pytest-wf did not make it"),
        ("WF_CHECKLIST_PATH=docs/todo.md", "docs/todo.md.last exists"),
        ("WF_CHECKLIST_PATH=/", "the root of the file system"),
        ("WF_CHECKLIST_PATH=docs", "docs exists, and pytest-wf did not make it"),
    ],
)
def test_a_place_that_is_not_a_flows_own_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notes.md").write_text("# Notes\n")
    (tmp_path / "docs" / "todo.md.last").write_text("- tea\n")
    told = [p for p in problems(tmp_path, line) if reason in p]
    key, _, value = line.partition("=")
    assert told and told[0].startswith("flows/workflow.env:") and f'{key}="{value}"' in told[0]


def test_a_home_is_no_place_for_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    (told,) = problems(tmp_path / "project", f"LOCAL_ARTIFACTS_DIR={home}")
    assert "your home itself" in told


def test_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    (told,) = problems(tmp_path, "WF_FLOW_EVIDENCE_DIR=out/flows")
    assert "a folder of the operating system" in told


def test_reports_are_not_written_into_system_folders(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, reports="/etc/reports")
    assert told.startswith('command line: --wf-reports="/etc/reports": a folder of the operating')


@pytest.mark.parametrize(
    ("key", "place", "reason"),
    [
        ("OPS_REMOTE_REPO", "", "the project itself, or a folder above it"),
        ("OPS_REMOTE_REPO", "/..", "a path with '..'"),
        (
            "OPS_REMOTE_OUTPUTS_DIR",
            "/reports/runs",
            "it contains LOCAL_ARTIFACTS_DIR, or the reverse",
        ),
        ("OPS_REMOTE_OUTPUTS_DIR", "/reports", "it contains WF_FLOW_EVIDENCE_DIR, or the reverse"),
    ],
)
def test_the_embedded_pod_does_not_work_on_the_projects_own_files(
    tmp_path: Path, key: str, place: str, reason: str
) -> None:
    layout = {"OPS_REMOTE_REPO": "/srv/repo", "OPS_REMOTE_OUTPUTS_DIR": "/srv/outputs"}
    layout[key] = f"{tmp_path}{place}"
    lines = [line for line in ENV.splitlines() if not line.startswith("OPS_REMOTE")]
    lines += [f"{name}={value}" for name, value in layout.items()]
    write_flows(tmp_path, CSV, "\n".join([*lines, ""]))
    with pytest.raises(InputError, match=reason):
        load_project(tmp_path, Options(), {})


def test_a_run_id_whose_place_holds_something_else_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "results" / "src"
    place.mkdir(parents=True)
    (place / "train.py").touch()
    (told,) = problems(tmp_path, "LOCAL_ARTIFACTS_DIR=results")
    assert f"{place} exists, and pytest-wf did not make it" in told


def test_a_run_that_was_fetched_may_be_fetched_again(tmp_path: Path) -> None:
    place = tmp_path / "reports" / "runs" / "src"
    place.mkdir(parents=True)
    (place / "FETCHED.json").write_text("{}")
    assert problems(tmp_path) == []
