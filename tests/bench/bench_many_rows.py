"""A flow over many rows of nothing: what the watching itself costs, a row."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.bench.figures import CPU, WALL, Figures
from tests.support.flow_project import Project

COUNTS = [int(n) for n in os.environ.get("WF_BENCH_ROWS", "10 100 1000").split()]


@pytest.mark.timeout(1800)
def test_a_flow_over_many_rows(figures: Figures, tmp_path: Path) -> None:
    for count in COUNTS:
        wall, cpu = _flow(tmp_path / str(count), count)
        cost = {WALL: wall, CPU: cpu, "ms a row": 1000 * wall / count}
        figures.add(f"{count} rows of true", {"flow, controller": [cost]})


def _flow(root: Path, count: int) -> tuple[float, float]:
    """Wall and CPU seconds of the controller for a flow of `count` rows."""
    (root / "project").mkdir(parents=True)
    rows = [f"run-{n:05d},default.py,{n},," for n in range(count)]
    write_project(
        root / "project",
        rows=rows,
        config={"TRAIN_COMMAND_TEMPLATE": "true", "WF_FLOW_WAIT_MAX_POLLS": "0"},
    )
    project: Any = Project(root / "project", environment.clean_environ(root / "home"))
    began = time.perf_counter()
    run = project.start("--wf-wait=true", "-q")
    with run.process.stdout as output:
        run.output = output.read()
    _, status, used = os.wait4(run.process.pid, 0)
    wall = time.perf_counter() - began
    run.process.returncode = os.waitstatus_to_exitcode(status)
    assert run.code == 0, run.output[-3000:]
    return wall, used.ru_utime + used.ru_stime
