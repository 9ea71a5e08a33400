"""A whole flow over a real sshd on loopback: what it costs beyond the training itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TRAINING_S = 0.2
TIMES = 3

#: Wall seconds and SSH connections of the same flow by the bash original, on a warm pod.
ORIGINAL = {1: (18.1, 61), 20: (26.0, 83)}


@pytest.mark.parametrize("rows", [1, 20])
def test_a_flow_over_loopback_ssh(
    rows: int,
    bench: Callable[..., Any],
    spread: Callable[..., Any],
    show: Callable[..., None],
    sshd: Any,
    tmp_path: Path,
) -> None:
    project = bench(
        [f"r{i:02d},default.py,1,steps=1 sleep={TRAINING_S}," for i in range(rows)],
    )
    trained_s = rows * TRAINING_S
    lines = [["", "wall s", "beyond training s", "connections", "round trips", "faster"]]

    def measure(name: str, before: Callable[[int], None]) -> None:
        walls, connections, trips = [], set(), []
        for number in range(TIMES):
            before(number)
            accepted = sshd.accepted()
            walls.append(project.pytest("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=keep"))
            connections.add(sshd.accepted() - accepted)
            trips.append(project.round_trips)
            home = project.root / "reports" / "runs"
            assert all((home / f"r{i:02d}" / "summary.json").exists() for i in range(rows))
        lines.append(
            [
                name,
                str(spread(walls)),
                str(spread([wall - trained_s for wall in walls])),
                "/".join(map(str, sorted(connections))),
                f"{min(trips)}-{max(trips)}",
                f"{(original_s - trained_s) / (spread(walls).median - trained_s):.1f} x",
            ]
        )
        assert connections == {1}

    original_s, original_connections = ORIGINAL[rows]
    measure("first on a bare pod", lambda n: project.use_pod(sshd, tmp_path / f"pod{n}"))
    measure("next on that pod", lambda n: None)
    lines.append(
        [
            "bash original, next",
            f"{original_s:.2f}",
            f"{original_s - trained_s:.2f}",
            str(original_connections),
            "",
            "",
        ]
    )
    show(f"a flow of {rows} rows of {TRAINING_S} s, median of {TIMES} (min-max)", lines)
