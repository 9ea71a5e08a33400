"""A real Slurm of this machine, and the agent on its login node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_wf.agent.run.slurm import executor
from pytest_wf.agent.sweep.cluster import queued
from tests.support import slurm
from tests.support.login_node import login_node
from tests.support.slurm import Slurm
from tests.support.sweep_pod import SweepPod


@pytest.fixture(scope="session")
def cluster() -> Iterator[Slurm]:
    """A cluster for all tests of this process."""
    why = slurm.why_not()
    if why:
        pytest.skip(why)
    made = Slurm()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def login(
    cluster: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., SweepPod]]:
    """Makes a login node in CHECKED_OUT: ``login(WF_SLURM_ARGS="partition=high")``."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("PATH", cluster.environ["PATH"])
    monkeypatch.setattr(executor, "LISTING_S", 0.1)
    monkeypatch.setattr(executor, "_listings", {})
    monkeypatch.setattr(queued, "SETTLE_S", 0.2)
    made: list[SweepPod] = []

    def make(**more: str) -> SweepPod:
        made.append(login_node(tmp_path / "pod", **more))
        return made[-1]

    yield make
    for pod in made:
        pod.client.request("campaign-stop")
