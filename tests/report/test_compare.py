"""What differs between flows: config, rows, code."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.report.build import build
from pytest_wf.report.compare.code import code_difference
from pytest_wf.report.compare.difference import MISSING, differences
from pytest_wf.report.compare.rows import differing_rows
from pytest_wf.report.folder import read_folder
from pytest_wf.report.model import PageRow
from pytest_wf.report.page import write_report
from pytest_wf.report.views import compared
from pytest_wf.report.views.differences import show
from pytest_wf.wire.redact import Redactor
from tests.report.conftest import WrittenFlow, row


def page_row(run_id: str, flow: int, **parameters: Any) -> PageRow:
    return PageRow(run_id, flow, 0, state="success", parameters=parameters)


def test_only_names_whose_values_differ_are_named() -> None:
    found = differences([{"A": "1", "B": "2"}, {"A": "1", "B": "3", "C": ""}])
    assert found == [("B", ("2", "3")), ("C", (MISSING, ""))]


def test_of_a_row_only_the_parameters_that_differ_are_shown() -> None:
    found = differing_rows(
        [
            [page_row("same", 0, lr=1), page_row("edited", 0, lr=1, depth=2), page_row("gone", 0)],
            [page_row("same", 1, lr=1.0), page_row("edited", 1, lr=2, depth=2, wd=0.5)],
        ]
    )
    assert found == [
        ("edited", (f"lr=1 wd={MISSING}", "lr=2 wd=0.5")),
        ("gone", ("as it is", "no such row")),
    ]


def test_many_equal_runs_are_one_line() -> None:
    rows = [
        PageRow(f"r{n}", flow, n, state="success", metrics={"loss": float(n == 0 and flow)})
        for n in range(20)
        for flow in (0, 1)
    ]
    found = compared.compared(rows, ["A", "B"])
    assert found is not None
    assert [run.run_id for run in found.runs] == ["r0"]
    assert found.notes[0].startswith("19 runs are equal: r1, r2, ")
    assert found.notes[0].endswith(" and 9 more.")


def test_an_accuracy_that_rose_is_good() -> None:
    rows = [PageRow("a", n, 0, state="success", metrics={"val_acc": 0.5 + n}) for n in (0, 1)]
    found = compared.compared(rows, ["A", "B"])
    assert found is not None and found.runs[0].judged == "good"


@pytest.fixture
def repository(tmp_path: Path) -> list[str]:
    """A repository in the project's folder with two commits; their ids."""

    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "-q")
    shas = []
    for text in ("one", "two"):
        (tmp_path / "train.py").write_text(text)
        git("add", "train.py")
        git("commit", "-q", "-m", f"Say {text}")
        shas.append(git("rev-parse", "HEAD"))
    return shas


def _flow(folder: Path, number: int, git_sha: str, config: str, lr: float) -> Path:
    flow = WrittenFlow(folder, f"f-20260301T083000Z-00000{number}", f"c-{number}")
    flow.start([row("a", 0, metrics={"val_loss": 2.0 - number})])
    copy = flow.store.attach("workflow.env", config.encode())
    flow.phase("P00", artifacts=[flow.store.artifact("config", copy)])
    flow.phase("P50", git_sha=git_sha)
    manifest = f"run_id,config,seed,overrides,notes\na,c.py,1,lr={lr},\n"
    rows = flow.store.attach("manifest.csv", manifest.encode())
    flow.phase("P60", git_sha=git_sha, artifacts=[flow.store.artifact("manifest", rows)])
    flow.phase("P70", git_sha=git_sha, rows={r["run_id"]: r for r in flow.rows})
    for code in ("P90", "P99"):
        flow.phase(code, git_sha=git_sha)
    return flow.folder


def test_two_flows_say_what_differs_in_config_rows_and_code(
    tmp_path: Path, repository: list[str]
) -> None:
    first = _flow(tmp_path, 1, repository[0], "A=1\nB=2\n", 0.1)
    second = _flow(tmp_path, 2, repository[1], "A=1\nB=3\n", 0.2)
    found = show(build([first, second], tmp_path))
    assert found is not None and found.code is not None
    config, rows = found.tables
    assert config.rows == (("B", ("2", "3")),)
    assert rows.rows == (("a", ("lr=0.1", "lr=0.2")),)
    assert [line.partition(" ")[2] for line in found.code.added] == ["Say two"]
    assert (found.code.removed, found.code.files) == ((), ("M train.py",))
    out = tmp_path / "page.html"
    write_report([first, second], out, Redactor())
    assert "What differs" in out.read_text() and "M train.py" in out.read_text()
    back = code_difference(read_folder(second), read_folder(first))
    assert back is not None and (len(back.added), len(back.removed)) == (0, 1)


def test_a_commit_that_no_repository_has_is_said_and_not_guessed(tmp_path: Path) -> None:
    first, second = (
        _flow(tmp_path, number, sha * 40, "A=1\n", 0.1) for number, sha in ((1, "1"), (2, "2"))
    )
    found = show(build([first, second], tmp_path))
    assert found is not None and found.code is not None
    assert "No repository on this machine has both commits" in found.code.note


def test_equal_flows_and_one_flow_alone_have_no_differences(tmp_path: Path) -> None:
    flows = [_flow(tmp_path, number, "1" * 40, "A=1\n", 0.1) for number in (1, 2)]
    assert show(build(flows, tmp_path)) is None
    assert show(build(flows[:1], tmp_path)) is None
