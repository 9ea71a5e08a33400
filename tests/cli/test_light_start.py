"""`wf` imports what a command needs, and no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import Wf

#: typer itself imports pydantic to parse a command's words, but our records need not be built.
_HEAVY = (
    "allure",
    "cryptography",
    "jinja2",
    "paramiko",
    "pytest",
    "pytest_wf.evidence.records",
    "pytest_wf.report.results",
)
_PROGRAM = f"""
import atexit, sys
found = lambda: print("imported", *sorted({set(_HEAVY)!r} & sys.modules.keys()), file=sys.stderr)
atexit.register(found)
from pytest_wf.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["sweep-status"], ["sweep-status", "--help"], ["logs", "one"], ["keys"]]
)
def test_a_command_that_looks_imports_nothing_heavy(wf: Wf, words: list[str]) -> None:
    (wf.root / "conftest.py").unlink(missing_ok=True)  # it may import what it likes
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words],
        cwd=wf.root,
        env=wf.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr.splitlines()[-1] == "imported", done.stderr
