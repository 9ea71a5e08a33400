"""A flow over many rows of nothing, beside tools that run as many commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from tests.support.bench import other_tools
from tests.support.bench.cpu import Group
from tests.support.bench.figures import CPU, WALL, Figures, alternate
from tests.support.bench.other_tools import Tools
from tests.support.bench.peaks import highest, peak_mb, status_of, words_of
from tests.support.bench.projects import Project

COUNTS = (10, 100, 1000)
LARGE = 10_000
#: As quick as `true`, and it prints when it ran.
COMMAND = "date +%s.%N"
#: submitit takes about a second for each.
MOST_BY_SUBMITIT = 10


@pytest.mark.timeout(7200)
def test_a_flow_over_many_rows(
    times: int,
    count: int,
    figures: Figures,
    new_group: Callable[[], Group],
    tmp_path: Path,
) -> None:
    for name, why in (
        ("GNU parallel", other_tools.why_no_parallel()),
        ("submitit", other_tools.why_no_submitit()),
    ):
        if why:
            figures.miss(name, why)
    group = new_group()
    # the largest take minutes, and are measured less often
    rounds = max(1, min(times, 2000 // count))
    ways = _ways(count, tmp_path, group)
    figures.add(f"{count} rows that print the time", alternate(ways, rounds), group.how)


def _ways(count: int, root: Path, group: Group) -> Mapping[str, Callable[[int], dict[str, float]]]:
    rows = [f"run-{n:05d},default.py,{n},," for n in range(count)]
    keys = {"TRAIN_COMMAND_TEMPLATE": COMMAND, "WF_FLOW_WAIT_MAX_POLLS": "0"}
    project = Project(root / "project", rows, group, config=keys)
    tools = Tools(root / "tools", group, project.environ)

    def flow(number: int) -> dict[str, float]:
        peaks: dict[str, float] = {}
        with highest(lambda: _memory(group), peaks):
            cost = project.flow("--wf-wait=true", "-q")
        logs = project.root.glob(".wf/pod/outputs/run-*/stdout.log")
        # behind the time at which the line came
        ran = [float(path.read_text().split()[-1]) for path in logs]
        return {**_per_row(cost, ran, count), **peaks}

    def by(
        tool: Callable[[int, str], tuple[dict[str, float], list[str]]],
    ) -> Callable[[int], dict[str, float]]:
        def run(number: int) -> dict[str, float]:
            cost, printed = tool(count, COMMAND)
            return _per_row(cost, [float(text) for text in printed], count)

        return run

    ways = {"flow on the local pod": flow, "loop of bash": by(tools.loop)}
    if not other_tools.why_no_parallel():
        ways["GNU parallel -j1"] = by(tools.parallel)
    if not other_tools.why_no_submitit() and count <= MOST_BY_SUBMITIT:
        ways["submitit, local"] = by(tools.submitit)
    return ways


def _per_row(cost: Mapping[str, float], ran: list[float], count: int) -> dict[str, float]:
    assert len(ran) == count
    gaps = [1000 * (b - a) for a, b in pairwise(sorted(ran))]
    return {
        **cost,
        "wall ms a row": 1000 * cost[WALL] / count,
        "CPU ms a row": 1000 * cost[CPU] / count,
        "gap p50 ms": median(gaps),
    }


def _memory(group: Group) -> dict[str, float]:
    """The most memory of the controller, and of the largest process on the pod, in MB."""
    most: dict[str, float] = {}
    for pid in group.pids():
        with suppress(OSError, StopIteration):
            is_controller = "--wf-flow" in words_of(pid)
            name = "controller MB" if is_controller else "largest on the pod MB"
            most[name] = max(most.get(name, 0.0), peak_mb(status_of(pid)))
    return most
