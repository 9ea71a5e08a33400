"""Each halt of a flow on the local pod: its user does what it says, runs the command that it
names as next, and gets on; nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import commit_all
from tests.support.hints import Hint, halt
from tests.support.wheels import wheel

ALL = ("--wf-wait=true", "--wf-fetch=all")
LONG = pytest.mark.long


@LONG
@pytest.mark.failure("prerequisites", "torch", "install", "post-command", "launch", "config")
@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        ("prerequisites", {"REMOTE_PYTHON_BIN": "python9"}, {"REMOTE_PYTHON_BIN": ""}),
        ("torch", {"REQUIRE_GPU_TORCH": "1"}, {"REQUIRE_GPU_TORCH": "0"}),
        ("install", {"CHECKOUT_INSTALL_CMD": "false"}, {"CHECKOUT_INSTALL_CMD": ""}),
        ("post-command", {"CHECKOUT_POST_CMD": "false"}, {"CHECKOUT_POST_CMD": ""}),
        ("launch", {"GPUS_PER_RUN": "64"}, {"GPUS_PER_RUN": ""}),
        ("config", {"WF_SECRET_ENV": "UNSET_TOKEN"}, {"WF_SECRET_ENV": ""}),
    ],
)
def test_a_key_that_is_corrected(
    project: Any, kind: str, wrong: dict[str, str], right: dict[str, str]
) -> None:
    project.configure(**wrong)
    hint = halt(project, kind, *ALL)
    project.configure(**right)
    hint.leads_on()


@pytest.mark.failure("smoke-failed")
@pytest.mark.long
def test_a_smoke_run_that_is_corrected(project: Any) -> None:
    project.configure(SMOKE_OVERRIDES="exit=3")
    hint = halt(project, "smoke-failed", "--wf-smoke", *ALL)
    assert "failed, class user, exit status 3" in hint.text
    assert not any(project.outputs.glob("*/attempts"))
    project.configure(SMOKE_OVERRIDES="steps=1")
    assert "succeeded" in hint.leads_on()


@pytest.mark.failure("row-failed")
@pytest.mark.long
def test_a_row_that_is_corrected(new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("good,default.py,1,,", "bad,default.py,2,exit=3,"))
    flown = project.flow(*ALL)
    page = (project.root / "reports" / "report.html").read_text()
    command = "pytest flows/ --wf-flow --wf-wait=true --wf-fetch=all"
    assert flown.record("flow.summary")["failure_kind"] == "row-failed"
    assert f"<code>{command}</code>" in page
    csv = project.root / "flows" / "sweep.csv"
    csv.write_text(csv.read_text().replace("exit=3", "steps=4"))
    commit_all(project.root, "Correct the row")
    assert "1 adopted" in Hint(project, "row-failed", "", command).leads_on()


@LONG
@pytest.mark.failure("row-expectation")
def test_a_row_whose_metrics_are_not_as_expected(project: Any) -> None:
    project.configure(WF_EXPECT="train_loss<0.1")
    assert project.flow(*ALL).record("flow.summary")["failure_kind"] == "row-expectation"
    command = "wf logs one"
    assert f"<code>{command}</code>" in (project.root / "reports" / "report.html").read_text()
    assert "train loss" in Hint(project, "row-expectation", "", command).leads_on()


@LONG
@pytest.mark.failure("manifest-differs")
def test_a_csv_that_was_edited(project: Any) -> None:
    assert project.flow(*ALL).code == 0
    csv = project.root / "flows" / "sweep.csv"
    csv.write_text(csv.read_text() + "three,default.py,3,,\n")
    hint = halt(project, "manifest-differs", "--wf-sweep=resume", *ALL)
    assert "2 adopted" in hint.leads_on()


@LONG
@pytest.mark.failure("wrong-sha")
def test_a_trainer_that_was_changed(project: Any) -> None:
    assert project.flow(*ALL).code == 0
    trainer = project.root / "train" / "train.py"
    trainer.write_text(trainer.read_text() + "# better\n")
    commit_all(project.root, "Change the trainer")
    project.configure(SWEEP_FORCE="1")
    halt(project, "wrong-sha", "--wf-sweep=resume", *ALL).leads_on()


@LONG
@pytest.mark.failure("run-differs")
def test_good_runs_that_were_trained_otherwise(project: Any) -> None:
    assert project.flow(*ALL).code == 0
    trainer = project.root / "train" / "train.py"
    trainer.write_text(trainer.read_text() + "# better\n")
    commit_all(project.root, "Change the trainer")
    hint = halt(project, "run-differs", *ALL)
    assert 'SWEEP_RETRAIN="one two"' in hint.text
    project.configure(SWEEP_RETRAIN='"one two"')
    hint.leads_on()
    assert project.flow(*ALL).code == 0


@pytest.mark.failure("run-exists")
def test_a_folder_of_others_at_a_runs_place(project: Any) -> None:
    (project.outputs / "one").mkdir(parents=True)
    (project.outputs / "one" / "notes.txt").write_text("mine")
    hint = halt(project, "run-exists", *ALL)
    (project.outputs / "one").rename(project.outputs / "elsewhere")
    hint.leads_on()


@LONG
@pytest.mark.failure("clone")
def test_other_files_at_the_repositorys_place(project: Any) -> None:
    repo = project.root / ".wf" / "pod" / "repo"
    repo.mkdir(parents=True)
    (repo / "notes.txt").write_text("mine")
    hint = halt(project, "clone", *ALL)
    repo.rename(repo.with_name("mine"))
    hint.leads_on()


@LONG
@pytest.mark.failure("dirty-checkout")
def test_a_trainer_that_was_edited_on_the_pod(project: Any) -> None:
    assert project.flow(*ALL).code == 0
    trainer = project.root / ".wf" / "pod" / "repo" / "train" / "train.py"
    before = trainer.read_text()
    trainer.write_text(before + "# by hand\n")
    project.configure(SWEEP_FORCE="1")
    hint = halt(project, "dirty-checkout", *ALL)
    trainer.write_text(before)
    hint.leads_on()


@LONG
@pytest.mark.failure("helper-script")
def test_a_helper_script_that_is_corrected(project: Any) -> None:
    script = project.root / "setup.sh"
    script.write_text("exit 3\n")
    project.configure(WANDB_SETUP_SCRIPT=str(script), RUN_WANDB_SETUP="1")
    hint = halt(project, "helper-script", *ALL)
    script.write_text("exit 0\n")
    hint.leads_on()


@LONG
@pytest.mark.failure("venv")
def test_an_environment_that_is_broken(project: Any, tmp_path: Path) -> None:
    package = wheel(tmp_path / "wheels", "paper", "1.0")
    project.configure(CHECKOUT_INSTALL_CMD=f'"pip install --no-index {package}"')
    assert project.flow(*ALL).code == 0
    for python in (project.root / ".wf" / "pod").glob("**/.venv/bin/python*"):
        python.unlink()
        python.write_text("#!/bin/sh\nexit 3\n")
        python.chmod(0o755)
    hint = halt(project, "venv", *ALL)
    project.configure(VENV_RECREATE="1")
    hint.leads_on()


_BOOKS = """\
from pytest_wf.project.data_contract import DataContract


def pytest_wf_data_contracts(config, rows):
    command = "test -s $DATA_DIR/books.txt && echo '{}'"
    return [DataContract("books", command, remedy="Write some books.")]
"""


@LONG
@pytest.mark.failure("data")
def test_data_that_is_put_in_its_place(project: Any, tmp_path: Path) -> None:
    (project.root / "conftest.py").write_text(_BOOKS)
    project.configure(DATA_DIR=str(tmp_path / "data"))
    hint = halt(project, "data", *ALL)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "books.txt").write_text("three of them\n")
    hint.leads_on()


@LONG
@pytest.mark.failure("repository")
def test_a_trainer_that_was_not_committed(project: Any) -> None:
    project.configure(TRAIN_ENTRYPOINT="new.py")
    trainer = project.root / "train" / "train.py"
    (trainer.parent / "new.py").write_text(trainer.read_text())
    hint = halt(project, "repository", *ALL)
    commit_all(project.root, "Add the trainer")
    hint.leads_on()


@LONG
@pytest.mark.failure("not-ours")
def test_a_file_of_others_in_the_place_of_the_config(project: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.env"
    mine.write_text("TOKEN=mine\n")
    project.configure(REMOTE_ENV_PATH=str(mine))
    hint = halt(project, "not-ours", *ALL)
    assert mine.read_text() == "TOKEN=mine\n"
    mine.rename(tmp_path / "elsewhere.env")
    hint.leads_on()


_ALLOWS_ANY_OVERRIDE = """\
from pytest_wf.wire.trainer import arguments
arguments.given_again = lambda *words: []
"""


@LONG
@pytest.mark.failure("manifest")
def test_rows_that_only_the_pod_refused(project: Any) -> None:
    csv, conftest = project.root / "flows" / "sweep.csv", project.root / "conftest.py"
    before = csv.read_text()
    csv.write_text(f"{before}more,default.py,1,seed=2,\n")
    conftest.write_text(_ALLOWS_ANY_OVERRIDE)
    hint = halt(project, "manifest", *ALL)
    csv.write_text(before)
    hint.leads_on()


_RENTS_NOTHING = """\
from pytest_wf.pods.lium.provider import LiumProvider
LiumProvider.can_rent = False
"""


@LONG
@pytest.mark.failure("no-provider")
def test_a_host_that_is_named_where_nothing_can_be_rented(project: Any) -> None:
    (project.root / "conftest.py").write_text(_RENTS_NOTHING)
    project.configure(OPS_DEFAULT_HOST="")
    hint = halt(project, "no-provider", *ALL)
    project.configure(OPS_DEFAULT_HOST="local")
    hint.leads_on()
    assert project.flow(*ALL).code == 0
