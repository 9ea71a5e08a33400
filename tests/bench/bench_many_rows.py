"""A flow over many rows of nothing: what the watching itself costs, a row."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.flow_project import Project

COUNTS = [int(n) for n in os.environ.get("WF_BENCH_ROWS", "10 100 1000").split()]


@pytest.mark.timeout(1800)
def test_a_flow_over_many_rows(show: Callable[..., None], tmp_path: Path) -> None:
    lines = [["rows", "wall s", "ms a row", "controller CPU s", "CPU ms a row"]]
    for count in COUNTS:
        wall, cpu = _flow(tmp_path / str(count), count)
        per_row = [f"{1000 * spent / count:.0f}" for spent in (wall, cpu)]
        lines.append([str(count), f"{wall:.1f}", per_row[0], f"{cpu:.1f}", per_row[1]])
    show("a flow over rows that run `true`, on the local pod", lines)


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
