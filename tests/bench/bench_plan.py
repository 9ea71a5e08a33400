"""The plan of a large sweep: read, checked and printed, and nothing contacted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bench.cpu import Group
from tests.support.bench.figures import Figures, alternate
from tests.support.bench.projects import Project, measured

ALONE = ("-p", "no:wf", "--collect-only", "-q")
#: As many parametrized cases, in a project that has nothing of ours.
CASES = """\
import pytest


@pytest.mark.parametrize("run_id", ["run-%05d" % n for n in range({rows})])
def test_row(run_id):
    pass
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rows", [1, 10_000])
def test_the_plan_of_a_large_sweep(
    rows: int, times: int, figures: Figures, new_group: Callable[[], Group], tmp_path: Path
) -> None:
    group = new_group()
    lines = [f"run-{i:05d},default.py,{i},lr={i * 1e-6:.6f} depth=12," for i in range(rows)]
    project = Project(tmp_path / "project", lines, group)
    project.environ["BENCH_NO_SOCKETS"] = "1"
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "test_plain.py").write_text(CASES.format(rows=rows))

    def plan(number: int) -> dict[str, float]:
        cost = project.flow("--collect-only", "-q")
        assert f"test_row_trains_to_its_end[run-{rows - 1:05d}]" in project.output
        assert not (project.root / "reports").exists()
        return cost

    def collect(number: int) -> dict[str, float]:
        cost: dict[str, float] = {}
        with measured(group, cost):
            done = subprocess.run(
                [
                    *group.inside,
                    sys.executable,
                    "-m",
                    "pytest",
                    *ALONE,
                    "--collect-only",
                    "-q",
                    ".",
                ],
                cwd=plain,
                env=project.environ,
                capture_output=True,
                text=True,
            )
        assert f"run-{rows - 1:05d}" in done.stdout
        return cost

    ways = {"plan of a flow, no socket opened": plan, "pytest alone, as many cases": collect}
    figures.add(f"--collect-only -q of {rows} rows", alternate(ways, times), group.how)
