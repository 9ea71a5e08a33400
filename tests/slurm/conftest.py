"""A real Slurm of this machine, and the agent on its login node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.run.slurm import executor
from pytest_wf.agent.sweep.cluster import queued
from tests.support import slurm
from tests.support.flow_project import Project
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


@pytest.fixture
def cluster_project(
    cluster: Slurm,
    make_sshd: Callable[..., Any],
    new_project: Callable[..., Project],
    tmp_path: Path,
) -> Callable[..., Project]:
    """Makes a project whose rows are jobs of the cluster; takes what `new_project` takes."""
    login = make_sshd()
    login.environment = f"SLURM_CONF={cluster.conf}"
    login.restart()

    def make(**kwargs: Any) -> Project:
        project = new_project(**kwargs)
        pod = tmp_path / "shared"
        pod.mkdir()
        project.outputs = pod / "outputs"
        project.configure(
            OPS_DEFAULT_HOST=f"{login.user}@{login.host}:{login.port}",
            SSH_IDENTITY_FILE=str(login.identity_file),
            SSH_KNOWN_HOSTS=str(login.known_hosts_file),
            OPS_REMOTE_REPO=str(pod / "repo"),
            OPS_REMOTE_OUTPUTS_DIR=str(project.outputs),
            REMOTE_ENV_PATH=str(pod / "project.env"),
            WF_ENGINE="slurm",
            GPUS_PER_RUN="1",
        )
        return project

    return make
