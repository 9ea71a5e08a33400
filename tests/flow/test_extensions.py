"""What plugins add to a flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pluggy
import pytest

from pytest_wf import hookspecs
from pytest_wf.contrib import fineweb
from pytest_wf.errors import InputError
from pytest_wf.flow.extensions import Extensions, register
from pytest_wf.project.data_contract import DataContract
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options, Project
from pytest_wf.testing import write_project

hookimpl = pluggy.HookimplMarker("pytest")


class Plugin:
    """Brings contracts of these names, each the command `command`."""

    def __init__(self, *names: str, command: str = "true") -> None:
        self._names = names
        self._command = command

    @hookimpl
    def pytest_wf_data_contracts(self, config: Any, rows: Any) -> list[DataContract]:
        return [DataContract(name, self._command) for name in self._names]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write_project(tmp_path)
    return load_project(tmp_path, Options(), {})


def contracts(project: Project, *plugins: Plugin, built_in_last: bool) -> list[DataContract]:
    """The contracts with `plugins`; a `wf` command registers what is built in after them."""
    manager = pluggy.PluginManager("pytest")
    manager.add_hookspecs(hookspecs)
    if not built_in_last:
        register(manager)
    for plugin in plugins:
        manager.register(plugin)
    if built_in_last:
        register(manager)
    return Extensions(manager.hook).data_contracts(project.config, project.rows)


@pytest.mark.parametrize("built_in_last", [True, False])
def test_built_in_contracts_come_first_and_one_of_the_same_name_replaces_them(
    project: Project, built_in_last: bool
) -> None:
    found = contracts(project, Plugin("books"), built_in_last=built_in_last)
    assert [contract.name for contract in found] == ["fineweb", "books"]
    assert found[0].program

    found = contracts(project, Plugin("books", "fineweb"), built_in_last=built_in_last)
    assert [contract.name for contract in found] == ["fineweb", "books"]
    assert found[0].command == "true"


def test_of_two_contracts_with_one_name_that_of_the_later_plugin_counts(project: Project) -> None:
    early, late = Plugin("books"), Plugin("books", command="test -s books")
    _, books = contracts(project, early, late, built_in_last=False)
    assert (books.name, books.command) == ("books", "test -s books")


def test_the_built_in_contract_knows_the_trainings_of_the_sweep(project: Project) -> None:
    (fineweb,) = contracts(project, built_in_last=False)
    assert fineweb.verifies
    assert fineweb.arguments["trainings"] == [[row.config, ""] for row in project.rows[:1]]


def test_one_plugin_with_two_contracts_of_one_name_is_a_mistake(project: Project) -> None:
    twice = Plugin("books", "words", "books")
    with pytest.raises(InputError, match="'books': one plugin gives it twice, among books, words"):
        contracts(project, twice, built_in_last=False)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "it needs a command or a program. Give one of the two."),
        ({"command": "true", "program": "pass"}, "it needs a command or a program."),
        ({"command": "true", "arguments": {"n": float("nan")}}, "it is not JSON: Out of range"),
        ({"command": "true", "creates": "/data/books"}, "creates is one text."),
    ],
    ids=["neither", "both", "not JSON", "one path"],
)
def test_a_contract_that_cannot_be_names_the_line_that_made_it(
    given: dict[str, Any], why: str
) -> None:
    with pytest.raises(InputError) as wrong:
        DataContract("x", **given)

    (problem,) = wrong.value.problems
    assert (problem.origin, problem.line) == (__file__, wrong.traceback[0].lineno + 1)
    assert f"data contract 'x': {why}" in str(problem)


def test_the_built_in_contract_takes_long_and_makes_files_only_where_it_downloads() -> None:
    looks, loads = (
        fineweb.contract({"download": download, "data_dir": "/data/"}, 900)
        for download in (False, True)
    )
    assert (looks.timeout_s, looks.creates, "DATA_DIR" in looks.remedy) == (600, [], True)
    assert (loads.timeout_s, "HF_ENDPOINT" in loads.remedy) == (3600, True)
    assert loads.creates == ["/data/fineweb_train_000001.bin", "/data/fineweb_val_000000.bin"]
