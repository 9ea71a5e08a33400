"""A whole flow over a real sshd on loopback, beside the same work done by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from tests.support.bench.by_hand import ByHand
from tests.support.bench.cpu import Group
from tests.support.bench.figures import Figures, alternate
from tests.support.bench.projects import WHOLE_FLOW, Project, trained
from tests.support.sshd import Sshd

TRAINING_S = 0.2


def command(row: int) -> str:
    """What a row's command would be by hand."""
    return f"python3 train.py default.py seed={row} sleep={TRAINING_S} out_dir=$OUT"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rows", [1, 20])
def test_a_flow_beside_work_by_hand(
    rows: int,
    times: int,
    figures: Figures,
    new_pod: Callable[..., tuple[Sshd, Group]],
    tmp_path: Path,
) -> None:
    names = [f"r{i:02d}" for i in range(rows)]
    sshd, group = new_pod()
    lines = [f"{name},default.py,1,sleep={TRAINING_S}," for name in names]
    project = Project(tmp_path / "project", lines, group)
    his_sshd, his_group = new_pod()
    by_hand = ByHand(tmp_path / "by-hand", project.root, his_sshd, his_group)

    def ours(number: int) -> Mapping[str, float]:
        accepted = sshd.accepted()
        cost = project.flow(*WHOLE_FLOW)
        spans = [project.trained(name) for name in names]
        reported = [project.reported_at(name) for name in names]
        late = [1000 * (at - ended) for at, (_, ended) in zip(reported, spans, strict=True)]
        return {
            **cost,
            **_gaps_ms(spans),
            "end to case p50 ms": median(late),
            "connections": sshd.accepted() - accepted,
            "round trips": project.round_trips,
        }

    def his(number: int) -> Mapping[str, float]:
        accepted = his_sshd.accepted()
        cost = by_hand.run(number, [command(row) for row in range(rows)])
        spans = [trained(by_hand.results / str(row)) for row in range(rows)]
        return {**cost, **_gaps_ms(spans), "connections": his_sshd.accepted() - accepted}

    project.use_pod(sshd, tmp_path / "pod")
    ours(0)  # the pod has the agent from here on
    ways = {"flow, on the pod of the last one": ours, "by hand, poll of 0.1 s": his}
    figures.add(f"{rows} rows of {TRAINING_S} s over ssh", alternate(ways, times), group.how)


def _gaps_ms(spans: list[tuple[float, float]]) -> Mapping[str, float]:
    """From a trainer's end to the first line of the next one's program, in milliseconds."""
    gaps = [1000 * (b[0] - a[1]) for a, b in pairwise(spans)]
    return {"end to next first line p50 ms": median(gaps)} if gaps else {}
