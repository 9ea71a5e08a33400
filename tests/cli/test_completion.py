"""Completion in shells, the groups of commands, and the help of `wf flow`."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pytest_wf.cli import local_ids
from pytest_wf.cli.catalogue import CATALOGUE, RUNS, SHELLS
from pytest_wf.cli.completion import script
from pytest_wf.cli.main import app
from pytest_wf.project.flow_options import FLOW_OPTIONS

COMMANDS: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with two rows, a fetched run, a flow and a task, of one with odd names."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "workflow.env").write_text('SWEEP_CSV="flows/rows.csv" # mine\n')
    (tmp_path / "flows" / "rows.csv").write_text("run_id,seed\nlr-1,1\nlr-2,2\n'a b,3\n")
    for place in ("runs/old", "runs/.superseded", "flows/f-1", "flows/f-2"):
        (tmp_path / "reports" / place).mkdir(parents=True)
    (tmp_path / ".wf/pod/outputs/_tasks/probe").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("kinds", "ids"),
    [
        (["runs"], ["lr-1", "lr-2", "old"]),
        (["tasks"], ["probe"]),
        (["runs", "tasks"], ["lr-1", "lr-2", "old", "probe"]),
        (["flows"], ["../reports/flows/f-2", "../reports/flows/f-1"]),
        (["nothing"], []),
    ],
)
def test_ids_come_from_files_of_the_project_around(
    folder: Path,
    kinds: list[str],
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder / "flows")
    local_ids.main(kinds)
    assert capsys.readouterr().out.split() == ids


@pytest.mark.parametrize(
    "name", ["$(touch made)", "`touch made`", "a b", "<(touch made)", "x;y", "{a,b}"]
)
def test_a_name_that_a_shell_would_expand_is_left_out(folder: Path, name: str) -> None:
    (folder / "reports" / "runs" / name).mkdir()
    assert _in_bash(folder)("wf", "fetch-run", "") == ["lr-1", "lr-2", "old"]
    assert not (folder / "made").exists()


def test_without_a_project_there_are_no_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    local_ids.main([RUNS])
    assert capsys.readouterr().out == ""


def _in_bash(folder: Path) -> Callable[..., list[str]]:
    def complete(*words: str) -> list[str]:
        program = (
            f"{script('bash', COMMANDS)}\nCOMP_WORDS=({shlex.join(words)})\n"
            f"COMP_CWORD={len(words) - 1}\n_wf\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        done = subprocess.run(
            ["bash", "-c", program], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    return complete


def test_bash_completes_commands_options_values_and_ids(folder: Path) -> None:
    complete = _in_bash(folder)
    assert complete("wf", "sweep-sta") == ["sweep-start", "sweep-status"]
    assert complete("wf", "logs", "lr") == ["lr-1", "lr-2"]
    assert complete("wf", "flow", "--wf-wait") == ["--wf-wait=true", "--wf-wait=false"]
    assert complete("wf", "results", "--r") == ["--rank-by"]
    assert complete("wf", "verify", "rep") == ["reports/flows/f-2", "reports/flows/f-1"]


@pytest.mark.parametrize("module", ["csv.py", "re.py", "pytest_wf/__init__.py"])
def test_completion_imports_nothing_from_the_working_directory(folder: Path, module: str) -> None:
    (folder / module).parent.mkdir(exist_ok=True)
    (folder / module).write_text("open('made', 'w')")
    assert _in_bash(folder)("wf", "logs", "lr") == ["lr-1", "lr-2"]
    assert not (folder / "made").exists()


def test_bash_itself_completes_names_of_files_and_quotes_them(folder: Path) -> None:
    assert _in_bash(folder)("wf", "init", "fl") == []
    program = f"{script('bash', COMMANDS)}\ncomplete -p wf"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert "-o default" in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_is_one_that_it_reads(shell: str) -> None:
    text = CliRunner().invoke(app, ["completion", shell]).stdout
    assert "sweep-status" in text and "--wf-wait=true" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True, capture_output=True)


def test_another_shell_is_a_mistake_that_names_the_three() -> None:
    done = CliRunner().invoke(app, ["completion", "tcsh"])
    assert done.exit_code == 4
    assert "bash, zsh, fish" in done.output


def test_every_command_has_a_group_and_its_examples_are_of_it() -> None:
    assert set(COMMANDS) == set(CATALOGUE)
    for name, entry in CATALOGUE.items():
        assert entry.group
        assert all(f"wf {name}" in example for example in entry.examples), name


def test_every_argument_and_option_has_a_help() -> None:
    commands = [*COMMANDS.values(), *COMMANDS["baseline"].commands.values()]
    without = [(one.name, p.name) for one in commands for p in one.params if not p.help]
    assert without == []


def test_the_text_of_a_help_has_no_line_breaks_of_its_own() -> None:
    shown = CliRunner().invoke(app, ["pod-forget", "--help"], env={"COLUMNS": "200"}).stdout
    assert "or a flow that is waiting, moves its rows" in shown


def test_the_help_of_a_flow_has_all_of_its_options() -> None:
    done = CliRunner().invoke(app, ["flow", "--help"])
    assert done.exit_code == 0
    for option in FLOW_OPTIONS:
        assert f"  {option.usage}\n" in done.stdout
    assert "--wf-wait=true|false" in done.stdout
