"""Figures of a run of the benchmarks: alternated, printed as tables, kept as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

#: Does something once, the n-th time; what it cost, by quantities such as ``wall s``.
Way = Callable[[int], Mapping[str, float]]
#: What each way cost, time by time.
Costs = Mapping[str, Sequence[Mapping[str, float]]]

WALL, CPU = "wall s", "CPU s"


class Spread(NamedTuple):
    """Several measurements of one thing."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        if low == high:
            return _short(low)
        return f"{_short(self.median)} ({_short(low)}-{_short(high)})"


def alternate(ways: Mapping[str, Way], times: int) -> dict[str, list[Mapping[str, float]]]:
    """Each way once, then each again, so that what else the machine does falls on all of them.

    Every second round goes backwards, so that none is always the one behind another.
    """
    costs: dict[str, list[Mapping[str, float]]] = {name: [] for name in ways}
    for number in range(times):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            costs[name].append(ways[name](number))
    return costs


def quantities(costs: Costs) -> dict[str, dict[str, Spread]]:
    """What was measured of each way, over all times."""
    return {
        way: {name: Spread([cost[name] for cost in times]) for name in times[0]}
        for way, times in costs.items()
    }


class Figures:
    """All figures of one run, with what is missing and why."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._figures: list[dict[str, Any]] = []
        self._missing: dict[str, str] = {}

    def add(self, title: str, costs: Costs, note: str = "") -> None:
        """Print a table of `costs`, and keep it.

        The first way is ours; the others get the ratio of our wall time to theirs and of our CPU
        time to theirs, pair by pair.
        """
        load = os.getloadavg()[0]
        found = quantities(costs)
        columns = list(dict.fromkeys(name for of_way in found.values() for name in of_way))
        ours, *others = costs
        compared = [c for c in (WALL, CPU) if others and c in found[ours]]
        lines = [["", *columns, *(f"ours / this, {name.split()[0]}" for name in compared)]]
        for way, spreads in found.items():
            cells = [str(spreads.get(name, "")) for name in columns]
            pairs = [
                str(ratio(costs[ours], costs[way], name)) if way != ours and name in spreads else ""
                for name in compared
            ]
            lines.append([way, *cells, *pairs])
            for name, spread in spreads.items():
                self._figures.append(
                    {
                        "benchmark": title,
                        "way": way,
                        "quantity": name,
                        "values": list(spread.values),
                        "median": spread.median,
                        "load": load,
                    }
                )
        times = max(len(of) for of in costs.values())
        head = f"{title}: median of {times} (min-max); load {load:.1f} on {os.cpu_count()} cores"
        self._show("\n".join(["", head, *_table(lines), *([note] if note else [])]))

    def miss(self, what: str, why: str) -> None:
        """Say that a competitor is not among the figures."""
        if what not in self._missing:
            self._missing[what] = why
            self._show(f"\nnot measured: {what}: {why}")

    def as_json(self) -> dict[str, Any]:
        """Everything that was measured, for `tests.support.bench.compare`."""
        return {
            "commit": _commit(),
            "machine": {
                "cores": os.cpu_count(),
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
            "figures": self._figures,
            "missing": self._missing,
        }

    def write(self, path: Path) -> None:
        """Write `as_json` to a file."""
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n")


def ratio(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], quantity: str
) -> Spread:
    """Ours divided by theirs, pair by pair."""
    return Spread([a[quantity] / b[quantity] for a, b in zip(ours, theirs, strict=True)])


def _short(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def _table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the first column to the left and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  "
        + "   ".join(
            [first.ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        ).rstrip()
        for first, *rest in lines
    ]


def _commit() -> str:
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return shown.stdout.strip()
