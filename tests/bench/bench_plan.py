"""The plan of a large sweep: read, checked and printed, and nothing contacted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROWS = 10_000
TIMES = 3


def test_the_plan_of_a_large_sweep(
    bench: Callable[..., Any], spread: Callable[..., Any], show: Callable[..., None]
) -> None:
    lines = [["", "wall s"]]
    for rows in (1, ROWS):
        project = bench(
            [f"run-{i:05d},default.py,{i},lr={i * 1e-6:.6f} depth=12," for i in range(rows)]
        )
        walls = [project.pytest("--collect-only", "-q", BENCH_NO_SOCKETS="1") for _ in range(TIMES)]
        assert f"test_row_trains_to_its_end[run-{rows - 1:05d}]" in project.output
        assert not (project.root / "reports").exists()
        lines.append([f"{rows} rows", str(spread(walls))])
    show(f"the plan (--collect-only -q), no socket opened, median of {TIMES} (min-max)", lines)
