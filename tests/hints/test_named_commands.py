"""Every command that the text of a message names can be run as it is written."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pytest_wf.cli.main import app
from pytest_wf.court.named_commands import with_whole_commands
from tests.support import ROOT

COMMANDS: Any = typer.main.get_command(app)
#: Where messages are made; the pages' own templates name no commands.
SOURCES = sorted((ROOT / "pytest_wf").rglob("*.py"))


def _texts(tree: ast.AST) -> Iterator[str]:
    """The texts of a module, joined where they are parts of one, without its docstrings."""
    skipped = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield "" if id(node) in skipped else node.value


def _named(path: Path) -> list[str]:
    found = []
    for text in _texts(ast.parse(path.read_text())):
        found += re.findall(r"`wf ([a-z][^`]*)`", text)
    return sorted({re.sub(r"%[sd]", "X", command) for command in found})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_message_names_a_flow_so_that_it_is_completed(path: Path) -> None:
    """An option alone is for a command line that the user has just written."""
    for text in _texts(ast.parse(path.read_text())):
        left = with_whole_commands(re.sub(r"%[sd]", "X", text), {})
        assert not re.search(r"(?:with|by|use) `?--wf-sweep=", left)


@pytest.mark.parametrize(
    ("path", "command"),
    [
        pytest.param(path, command, id=f"{path.relative_to(ROOT)}-{command}")
        for path in SOURCES
        for command in _named(path)
    ],
)
def test_a_message_names_a_command_that_exists_with_what_it_needs(path: Path, command: str) -> None:
    """Parsing raises where an argument or option is missing or wrong."""
    name, *words = shlex.split(command)
    COMMANDS.commands[name].make_context(name, words).close()
