"""A flow where each fsync takes 5 ms on both sides, beside one on the disk that is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.bench.cpu import Group
from tests.support.bench.figures import Figures, alternate
from tests.support.bench.projects import WHOLE_FLOW, Project
from tests.support.bench.slow_disk import SlowDisk
from tests.support.sshd import Sshd

FSYNC_MS = 5


@pytest.mark.timeout(900)
def test_a_flow_on_a_slow_disk(
    times: int,
    figures: Figures,
    new_pod: Callable[..., tuple[Sshd, Group]],
    tmp_path: Path,
) -> None:
    ours, pods = SlowDisk(tmp_path / "ours", FSYNC_MS), SlowDisk(tmp_path / "pods", FSYNC_MS)
    rows = ["one,default.py,1,sleep=0.2,"]

    def project(name: str, environment: str) -> Project:
        sshd, group = new_pod(environment=environment)
        made = Project(tmp_path / name, rows, group)
        made.use_pod(sshd, tmp_path / f"pod-of-{name}")
        return made

    slow = project("slow", " ".join(f"{k}={v}" for k, v in pods.environ.items()))
    slow.environ.update(ours.environ)
    fast = project("fast", "")

    def on_slow(number: int) -> Mapping[str, float]:
        ours.fsyncs(), pods.fsyncs()
        cost = slow.flow(*WHOLE_FLOW)
        counted = {"fsyncs here": ours.fsyncs(), "fsyncs on the pod": pods.fsyncs()}
        assert all(counted.values()), "the library was not loaded on both sides"
        return {**cost, **counted}

    for made in (slow, fast):
        made.flow(*WHOLE_FLOW)  # the pod has the agent from here on
    ways = {
        f"fsync takes {FSYNC_MS} ms more": on_slow,
        "the disk that is here": lambda number: fast.flow(*WHOLE_FLOW),
    }
    figures.add("1 row of 0.2 s on a slow disk", alternate(ways, times), slow.group.how)
