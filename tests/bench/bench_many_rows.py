"""A flow over many rows of nothing, beside tools that run as many commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from tests.support.bench import other_tools
from tests.support.bench.cpu import Group
from tests.support.bench.figures import CPU, WALL, Figures, alternate
from tests.support.bench.other_tools import Tools
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
        with _peaks(group, peaks):
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


@contextmanager
def _peaks(group: Group, peaks: dict[str, float]) -> Iterator[None]:
    """Note the peak memory of the controller, and of the largest process on the pod, in MB."""
    ended = threading.Event()
    most: dict[str, float] = {"controller MB": 0, "largest on the pod MB": 0}

    def watch() -> None:
        while not ended.wait(0.3):
            for pid in group.pids():
                with suppress(OSError, StopIteration):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes()
                    name = "controller MB" if b"--wf-flow" in words else "largest on the pod MB"
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                    kb = next(int(x.split()[1]) for x in lines if x.startswith("VmHWM:"))
                    most[name] = max(most[name], kb / 1000)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        peaks.update(most)
