"""What the installed plugin costs a project that does not use it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bench.cpu import Group
from tests.support.bench.figures import CPU, WALL, Figures, alternate, quantities
from tests.support.bench.projects import measured
from tests.support.environment import clean_environ


@pytest.mark.timeout(600)
def test_an_empty_test(
    times: int, figures: Figures, new_group: Callable[[], Group], tmp_path: Path
) -> None:
    group, folder = new_group(), tmp_path / "project"
    folder.mkdir()
    (folder / "test_empty.py").write_text("def test_nothing():\n    pass\n")
    environ = clean_environ(tmp_path / "home")

    def run(*words: str) -> dict[str, float]:
        cost: dict[str, float] = {}
        with measured(group, cost):
            subprocess.run(
                [*group.inside, sys.executable, "-m", "pytest", "-q", *words],
                cwd=folder,
                env=environ,
                check=True,
                capture_output=True,
            )
        return cost

    run(), run("-p", "no:wf")  # what Python compiles is compiled
    ways = {"with the plugin": lambda n: run(), "-p no:wf": lambda n: run("-p", "no:wf")}
    costs = alternate(ways, 4 * times)
    found = quantities(costs)
    ours, without = (found[way] for way in ways)
    more = {q: 1000 * (ours[q].median - without[q].median) for q in (WALL, CPU)}
    note = f"the plugin costs {more[WALL]:.0f} ms of wall time, {more[CPU]:.0f} ms of CPU time"
    figures.add("an empty test", costs, note)
