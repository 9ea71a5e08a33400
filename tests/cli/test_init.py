"""`wf init` makes a project that works at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pytest_wf
from pytest_wf.project.scaffold import template
from pytest_wf.testing import commit_all
from tests.support import ROOT

TRAINER = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--out")
parser.add_argument("--seed", type=int)
print("loss 1.0")
"""


@pytest.fixture
def empty(wf: Any, tmp_path: Path) -> Path:
    """An empty git repository."""
    root = tmp_path / "empty"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    return root


def test_init_makes_a_project_whose_plan_can_be_shown(wf: Any, empty: Path) -> None:
    told = wf("init", cwd=empty)
    assert told.code == 0
    names = ["workflow.env", "sweep.csv", "test_lifecycle.py"]
    wrote = [*(f"wrote flows/{name}" for name in names), "wrote .gitignore"]
    assert [line for line in told.out.splitlines() if line.startswith("wrote")] == wrote
    assert f"active_config_path={empty}/flows/workflow.env" in told.out
    plan = subprocess.run(
        [sys.executable, "-m", "pytest", "flows/", "--wf-flow", "--collect-only", "-q"],
        cwd=empty,
        env=wf.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.startswith("plan: 11 phases, 2 sweep rows\n")
    told = wf("doctor", cwd=empty)
    assert told.code == 1
    assert "has no commit. Commit the project" in told.out


def test_init_writes_what_is_ready_for_the_trainer_that_it_finds(wf: Any, empty: Path) -> None:
    (empty / "train.py").write_text(TRAINER)
    told = wf("init", cwd=empty)
    found = "trainer: argparse (train.py calls add_argument): output --out, seed --seed"
    assert found in told.out.splitlines()
    commit_all(empty, "Add the flow")
    told = wf("doctor", cwd=empty)
    assert (told.code, told.out.splitlines()[-1]) == (0, "ready")


def test_init_takes_the_trainer_that_is_named(wf: Any, empty: Path) -> None:
    (empty / "one.py").write_text(TRAINER)
    told = wf("init", "--trainer", "accelerate", "--script", "one.py", cwd=empty)
    assert told.code == 0
    assert "TRAIN_LAUNCHER=accelerate\n" in (empty / "flows" / "workflow.env").read_text()
    told = wf("init", "--trainer", "acelerate", cwd=empty)
    assert told.code == 4
    assert "Did you mean accelerate?" in told.problems[0]


def test_init_keeps_what_a_flow_makes_out_of_commits(wf: Any, empty: Path) -> None:
    (empty / ".gitignore").write_text("*.pt\n/reports")
    assert wf("init", cwd=empty).code == 0
    assert (empty / ".gitignore").read_text() == "*.pt\n/reports\n.wf/\n"


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ([], "git init "),
        (["git init -q"], "git add --all "),
        (["git init -q", "git commit -q --allow-empty -m x"], "git add .gitignore flows"),
    ],
    ids=["no repository", "no commit", "a commit"],
)
def test_init_ends_with_what_to_do_next(
    wf: Any, tmp_path: Path, before: list[str], step: str
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    person = {
        f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    for command in before:
        subprocess.run(command.split(), cwd=folder, env={**wf.environ, **person}, check=True)
    told = wf("init", cwd=folder)
    steps = told.out.partition("next:\n")[2]
    assert step in steps
    assert "wf doctor" in steps
    assert "no remote is needed" in steps
    assert "DATA_DIR" not in told.out


@pytest.fixture
def with_data(wf: Any, empty: Path) -> Path:
    """A folder of a repository whose data git ignores."""
    subprocess.run(["git", "init", "-q"], cwd=empty, env=wf.environ, check=True)
    data = empty / "sub" / "data" / "text"
    data.mkdir(parents=True)
    (data / "prepare.py").touch()
    (data / "train.bin").touch()
    (empty / ".gitignore").write_text("*.bin\n")
    return empty / "sub"


def test_init_writes_the_keys_for_data_that_git_ignores(wf: Any, with_data: Path) -> None:
    told = wf("init", cwd=with_data)
    assert "note: Git ignores data in data/text: DATA_DIR and DATA_LINK bring it" in told.out
    written = (with_data / "flows" / "workflow.env").read_text()
    assert f"DATA_DIR={with_data}/data/text\n" in written
    assert "DATA_LINK=sub/data/text\n" in written


def test_init_leaves_the_keys_to_the_user_where_several_folders_have_data(
    wf: Any, with_data: Path
) -> None:
    (with_data / "data" / "more").mkdir()
    (with_data / "data" / "more" / "train.bin").touch()
    told = wf("init", cwd=with_data)
    assert "Git ignores data in data/more, data/text: if rows read it, set DATA_DIR" in told.out
    assert "DATA_DIR=" not in (with_data / "flows" / "workflow.env").read_text()


def test_init_takes_the_folder_of_a_project_to_be(wf: Any, empty: Path) -> None:
    told = wf("init", "new/project", cwd=empty)
    assert told.code == 0
    assert "cd new/project" in told.out
    assert (empty / "new" / "project" / "flows" / "workflow.env").is_file()


def test_init_writes_nothing_where_one_of_its_files_stands(wf: Any, empty: Path) -> None:
    (empty / "flows").mkdir()
    (empty / "flows" / "sweep.csv").symlink_to("elsewhere.csv")
    told = wf("init", cwd=empty)
    assert told.code == 4
    assert told.problems == ["flows/sweep.csv: wf init: already exists. Move it away first."]
    assert [path.name for path in (empty / "flows").iterdir()] == ["sweep.csv"]


def test_the_template_is_this_projects_own_lifecycle() -> None:
    own = (ROOT / "flows" / "test_lifecycle.py").read_bytes()
    assert template("test_lifecycle.py") == own
    shipped = Path(pytest_wf.__file__).parent / "templates" / "test_lifecycle.py"
    assert shipped.read_bytes() == own


def test_the_csv_template_goes_where_the_config_says(wf: Any) -> None:
    wf.configure(SWEEP_CSV="sweeps/first.csv")
    told = wf("sweep-csv-template", "--json")
    assert told.document == {"path": str(wf.root / "sweeps" / "first.csv")}
    assert (wf.root / "sweeps" / "first.csv").read_bytes() == template("sweep.csv")
