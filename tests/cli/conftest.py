"""The `wf` command as a user runs it: a process of its own, in a project on the local pod."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import write_project
from tests.support.environment import clean_environ

_DEADLINE_S = 120
_PROGRAM = [sys.executable, "-c", "from pytest_wf.cli.main import main; main()"]


class Told:
    """What one `wf` command said, and how it ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.errors = done.stderr
        assert "Traceback" not in self.out + self.errors, self.out + self.errors

    @property
    def document(self) -> Any:
        """Stdout, which must be one JSON document."""
        assert self.code == 0, self.errors
        return json.loads(self.out)

    @property
    def problems(self) -> list[str]:
        """The lines of a refusal."""
        lines = self.errors.splitlines()
        return [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.errors}"


class Wf:
    """Runs `wf` commands in one project."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.environ = {**clean_environ(home), "COLUMNS": "200"}

    def __call__(
        self, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Told:
        """Run a command to its end."""
        done = subprocess.run(
            [*_PROGRAM, *words],
            cwd=cwd or self.root,
            env={**self.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
        )
        return Told(done)

    def start(self, *words: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start a command whose output is read while it runs."""
        return subprocess.Popen(
            [*_PROGRAM, *words],
            cwd=self.root,
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
            **{"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **kwargs},
        )

    def all_good(self, *commands: str) -> None:
        """Run commands that must do."""
        for command in commands:
            told = self(*command.split())
            assert told.code == 0, f"wf {command}: {told}"

    def configure(self, **keys: str) -> None:
        """Set keys in flows/workflow.env."""
        path = self.root / "flows" / "workflow.env"
        lines = [
            line for line in path.read_text().splitlines() if line.partition("=")[0] not in keys
        ]
        path.write_text("\n".join([*lines, *(f"{k}={v}" for k, v in keys.items()), ""]))

    def end(self) -> None:
        """Stop what may still run on the pod."""
        if (self.root / ".wf" / "pod" / "outputs" / "_control" / "campaigns").exists():
            self("sweep-stop")


@pytest.fixture(scope="module")
def new_wf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Wf]]:
    """A factory of projects to run `wf` in; what still runs on their pods is stopped."""
    made: list[Wf] = []

    def new(**kwargs: Any) -> Wf:
        folder = tmp_path_factory.mktemp("wf")
        (folder / "project").mkdir()
        made.append(Wf(write_project(folder / "project", **kwargs), folder / "home"))
        return made[-1]

    yield new
    for wf in made:
        wf.end()


@pytest.fixture
def wf(new_wf: Callable[..., Wf]) -> Wf:
    """`wf` in a new project, whose pod nobody has touched."""
    return new_wf()


@pytest.fixture(scope="module")
def swept(new_wf: Callable[..., Wf]) -> Wf:
    """`wf` in a project whose sweep has ended: one row well, one not. For looking only."""
    wf = new_wf(rows=("one,default.py,1,,", "bad,default.py,2,exit=3,"))
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    assert wf("sweep-watch").code == 1
    return wf
