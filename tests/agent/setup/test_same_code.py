"""Which commits train the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.agent.setup.git import Repository
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.setup.same_code import ReadHere, differences_are_in
from tests.support.repository import Upstream

READ_HERE = ReadHere(("flows/workflow.env", "sweep.csv", "flows/"))


@pytest.fixture
def is_same(tmp_path: Path) -> Callable[[Callable[[Upstream], object]], bool]:
    """Whether the commit that a change makes trains the same as the one before it."""

    def changed(change: Callable[[Upstream], object]) -> bool:
        upstream = Upstream(tmp_path / "upstream")
        upstream.commit("flows/workflow.env", "A=1\n")
        before = upstream.commit("flows/test_x.py", "x = 1\n")
        change(upstream)
        upstream.git("add", "--all")
        upstream.git("commit", "-q", "--allow-empty", "-m", "Change")
        repository = Repository(str(upstream.path), StepLog(os.devnull))
        return repository.is_same_code(before, upstream.head, READ_HERE)

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda up: None,
        lambda up: (up.path / "sweep.csv").write_text("run_id\n"),
        lambda up: (up.path / "flows" / "workflow.env").write_text("A=2\n"),
        lambda up: (up.path / "flows" / "test_x.py").unlink(),
        lambda up: (up.path / "flows" / "a\nb é.py").write_text(""),
    ],
    ids=["nothing", "csv", "config", "phase-gone", "odd-name"],
)
def test_config_csv_and_phases_are_not_trained_with(
    is_same: Callable[..., bool], change: Callable[[Upstream], object]
) -> None:
    assert is_same(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda up: (up.path / "train.py").write_text("print('other')\n"),
        lambda up: (up.path / "flows2.py").write_text(""),
        lambda up: (up.path / "sweep.csv.py").write_text(""),
        lambda up: (up.path / "flows" / "link").symlink_to("../train.py"),
        lambda up: (up.path / "flows" / "test_x.py").chmod(0o755),
        lambda up: up.git("mv", "train.py", "flows/train.py"),
        lambda up: up.git("mv", "flows/test_x.py", "x.py"),
        lambda up: Upstream(up.path / "flows" / "submodule"),
    ],
    ids=["code", "beside", "longer-name", "link", "mode", "moved-in", "moved-out", "submodule"],
)
def test_every_other_change_makes_other_code(
    is_same: Callable[..., bool], change: Callable[[Upstream], object]
) -> None:
    assert not is_same(change)


def test_a_commit_that_is_gone_is_other_code(tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "upstream")
    repository = Repository(str(upstream.path), StepLog(os.devnull))
    for gone in ("b" * 40, "HEAD", "", "--all"):
        assert not repository.is_same_code(gone, upstream.head, READ_HERE)


def test_a_replaced_commit_is_compared_as_it_was(tmp_path: Path) -> None:
    upstream = Upstream(tmp_path / "upstream")
    before = upstream.head
    now = upstream.commit("train.py", "print('other')\n")
    upstream.git("replace", before, now)
    repository = Repository(str(upstream.path), StepLog(os.devnull))
    assert not repository.is_same_code(before, now, READ_HERE)


@pytest.mark.parametrize(
    "answer", ["junk", ":100644 100644 a b M\0", "a\0b\0", ":1 2\0sweep.csv\0"]
)
def test_an_answer_that_cannot_be_read_is_other_code(answer: str) -> None:
    assert not differences_are_in(READ_HERE, answer)


def test_the_root_is_never_a_folder_that_no_row_reads() -> None:
    assert ReadHere.from_json(["", "/", "a/"]).paths == ("a/",)
    assert ReadHere.from_json("flows/").paths == ()
