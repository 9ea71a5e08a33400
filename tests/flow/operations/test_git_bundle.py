"""The bundle of this checkout, for ``REPO_URL=.``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.flow.operations.git_bundle import bundled, read_here
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options, Project
from pytest_wf.testing import write_project
from tests.support.repository import Upstream


def test_another_repository_in_the_environment_is_not_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = Upstream(tmp_path / "mine"), Upstream(tmp_path / "other")
    expected, _ = mine.head, other.commit("train.py", "print('the wrong one')\n")
    # as in a hook of `other`
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git/index"))

    with bundled(mine.path) as bundle:
        assert bundle.git_sha == expected
        assert not bundle.uncommitted


def test_nothing_is_packed_for_a_pod_that_has_the_commit(tmp_path: Path) -> None:
    mine = Upstream(tmp_path / "mine")
    mine.commit("train.py", "")
    (mine.path / "train.py").write_text("# changed\n")
    with bundled(mine.path, lambda sha: sha == mine.head) as bundle:
        assert (bundle.path, bundle.git_sha) == (None, mine.head)
        assert bundle.left_behind == ("train.py",)


def test_a_change_of_gitignore_is_not_missed_on_the_pod(tmp_path: Path) -> None:
    mine = Upstream(tmp_path / "mine")
    for name in (".gitignore", "train.py"):
        mine.commit(name, "")
        (mine.path / name).write_text("# changed\n")
    with bundled(mine.path) as bundle:
        assert bundle.uncommitted == (".gitignore", "train.py")
        assert bundle.left_behind == ("train.py",)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Project]:
    """Writes a project into ``sub/`` of a repository and loads it, with these keys."""
    Upstream(tmp_path / "repo")
    root = write_project(tmp_path / "repo" / "sub")

    def loaded(**keys: str) -> Project:
        env = root / "flows" / "workflow.env"
        lines = [line for line in env.read_text().splitlines() if line.split("=")[0] not in keys]
        env.write_text("\n".join([*lines, *(f"{k}={v}" for k, v in keys.items()), ""]))
        return load_project(root, Options(), {})

    return loaded


def test_a_project_in_the_training_repository_reads_its_config_csv_and_phases_itself(
    load: Callable[..., Project],
) -> None:
    found = read_here(load())
    assert found.has("flows/workflow.env") and found.has("flows/sweep.csv")
    assert found.has("flows/test_lifecycle.py")
    assert not found.has("train/train.py") and not found.has("flows.py")


def test_a_project_beside_the_training_repository_has_no_say_in_its_code(
    load: Callable[..., Project],
) -> None:
    project = load(REPO_URL="https://example.org/lab/train.git")
    assert read_here(project).paths == ()
    url = "https://example.org/lab/train.git"
    subprocess.run(["git", "-C", project.root, "remote", "add", "origin", url], check=True)
    assert read_here(project).has("flows/sweep.csv")


@pytest.mark.parametrize(
    "keys",
    [
        {"TRAIN_WORKDIR_REL": "flows"},
        {"TRAIN_WORKDIR_REL": ".", "TRAIN_ENTRYPOINT": "flows/train.py"},
        {"TRAIN_COMMAND_TEMPLATE": "python flows/train.py"},
    ],
)
def test_phases_count_as_code_where_a_row_is_trained_with_them(
    load: Callable[..., Project], keys: dict[str, str]
) -> None:
    found = read_here(load(**keys))
    assert not found.has("flows/train.py")
    assert found.has("flows/sweep.csv")
