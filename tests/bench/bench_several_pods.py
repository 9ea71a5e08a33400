"""A sweep on several pods: what a member costs, what moving rows gains, and a large fleet."""

from __future__ import annotations

import heapq
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.bench.cpu import Group
from tests.support.bench.figures import CPU, WALL, Figures, alternate
from tests.support.bench.peaks import highest, peak_mb, status_of, words_of
from tests.support.bench.projects import WHOLE_FLOW, Project

MEMBERS = (1, 2, 4, 8)
#: Seconds that each member's one row trains.
TRAINING_S = 2.0
#: Seconds that rows of uneven length train: as they are assigned, pod1 has all the long ones.
UNEVEN = (6, 1, 1) * 4
PODS = 3
#: How often a way is measured at most: each takes half a minute.
MOST_TIMES = 2
#: Simulated pods and rows.
SIMULATED = ((2, 1000), (10, 1000), (100, 1000))
LARGE = ((2, 10_000), (100, 10_000))


@pytest.mark.timeout(3600)
def test_what_a_member_costs(
    times: int, figures: Figures, new_group: Callable[[], Group], tmp_path: Path
) -> None:
    group = new_group()

    def way(members: int) -> Callable[[int], Mapping[str, float]]:
        project = _project(tmp_path / str(members), [TRAINING_S] * members, members, group)

        def run(number: int) -> Mapping[str, float]:
            peaks: dict[str, float] = {}
            with highest(lambda: _controller(group), peaks):
                cost = project.flow(*WHOLE_FLOW)
            spans = [project.trained(f"r{row:02d}") for row in range(members)]
            training = max(end for _, end in spans) - min(began for began, _ in spans)
            # named otherwise than in comparisons: these flows do different work
            return {
                "flow s": cost[WALL],
                "both sides' CPU s": cost[CPU],
                "beyond training s": cost[WALL] - training,
                "round trips": project.round_trips,
                **peaks,
            }

        return run

    ways = {f"{n} member{'s' * (n > 1)}": way(n) for n in MEMBERS}
    costs = alternate(ways, min(times, MOST_TIMES))
    figures.add(f"local members with a row of {TRAINING_S} s each", costs, group.how)


@pytest.mark.timeout(1800)
def test_rows_of_uneven_length(
    times: int, figures: Figures, new_group: Callable[[], Group], tmp_path: Path
) -> None:
    group = new_group()
    least, greedy = max(sum(UNEVEN) / PODS, *UNEVEN), _greedy(UNEVEN, PODS)

    def way(name: str, rebalance: int) -> Callable[[int], Mapping[str, float]]:
        keys = {"WF_REBALANCE": str(rebalance)}
        project = _project(tmp_path / name, UNEVEN, PODS, group, keys)

        def run(number: int) -> Mapping[str, float]:
            cost = project.flow(*WHOLE_FLOW)
            spans = [project.trained(f"r{row:02d}") for row in range(len(UNEVEN))]
            makespan = max(end for _, end in spans) - min(began for began, _ in spans)
            return {
                WALL: cost[WALL],
                "makespan s": makespan,
                "makespan / lower bound": makespan / least,
                "makespan / greedy": makespan / greedy,
            }

        return run

    ways = {"rows move": way("moves", 1), "rows stay": way("stays", 0)}
    note = f"no schedule takes less than {least:g} s; longest row first takes {greedy:g} s"
    title = f"rows of {', '.join(map(str, UNEVEN[:3]))} s and so on, {len(UNEVEN)} over {PODS} pods"
    figures.add(title, alternate(ways, min(times, MOST_TIMES)), note)


@pytest.mark.timeout(3600)
def test_a_simulated_fleet(figures: Figures, request: pytest.FixtureRequest) -> None:
    def way(pods: int, rows: int) -> Callable[[int], Mapping[str, float]]:
        words = [sys.executable, "-m", "tests.support.bench.simulated_fleet", str(pods), str(rows)]

        def run(number: int) -> Mapping[str, float]:
            found: dict[str, float] = json.loads(subprocess.check_output(words, text=True))
            return found

        return run

    sizes = SIMULATED + (LARGE if request.config.getoption("--large") else ())
    ways = {f"{pods} pods, {rows} rows": way(pods, rows) for pods, rows in sizes}
    figures.add("the controller of simulated pods", alternate(ways, 1))


def _project(
    root: Path,
    seconds: Sequence[float],
    pods: int,
    group: Group,
    keys: Mapping[str, str] | None = None,
) -> Project:
    rows = [f"r{row:02d},default.py,{row},sleep={s}," for row, s in enumerate(seconds)]
    return Project(root, rows, group, config={"WF_PODS": str(pods), **(keys or {})})


def _greedy(seconds: Sequence[float], pods: int) -> float:
    """The makespan if each row, the longest first, begins on the pod that is free first."""
    ends = [0.0] * pods
    for length in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def _controller(group: Group) -> dict[str, float]:
    """The threads, descriptors, connections and memory of the controller of a flow.

    A connection to a local pod is a process that the controller has begun and that serves it.
    """
    pids = group.pids()
    controller = next(pid for pid in pids if "--wf-flow" in words_of(pid))
    status = status_of(controller)
    return {
        "threads": float(status["Threads"]),
        "descriptors": float(len(list(Path(f"/proc/{controller}/fd").iterdir()))),
        "connections": float(sum(_is_agent(pid, controller) for pid in pids)),
        "controller MB": peak_mb(status),
    }


def _is_agent(pid: int, controller: int) -> bool:
    """Whether a process is an agent that serves the controller."""
    with suppress(OSError):
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        return int(parent) == controller and any("agent" in word for word in words_of(pid))
    return False
