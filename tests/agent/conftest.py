"""A pod in a temporary directory, and the agent in this process or in one of its own."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control import control_files, lease
from pytest_wf.agent.control.request import Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.server.operations import OPERATIONS
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import ids
from tests.support.agent_pod import OWNER, config_values, made_ready
from tests.support.repository import Upstream
from tests.support.search_path import SearchPath
from tests.support.sweep_pod import SweepPod, ready_pod


@pytest.fixture(autouse=True)
def nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin as a new agent does, that knows of no damage."""
    monkeypatch.setattr(control_files, "_findings", [])
    monkeypatch.setattr(control_files, "_damaged", set())


@pytest.fixture(autouse=True)
def no_orphans_inherited() -> Iterator[None]:
    """Let a supervisor that a test runs in this process leave it no parent of orphans.

    Those of later tests would stay zombies.
    """
    yield
    if process._is_subreaper:
        ctypes.CDLL(None).prctl(process._PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        process.forget()


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    """All config keys as the controller sends them, for a pod below `tmp_path`."""
    pod = tmp_path / "pod"
    return {
        **config_values(pod / "outputs", pod),
        "REMOTE_PYTHON_BIN": "python3",
        "APT_PACKAGES": "",
        "REQUIRE_GPU_TORCH": "0",
        "TRAIN_LAUNCHER": "python",
        "WF_FSM_ENFORCE": "1",
    }


@pytest.fixture
def settings(values: dict[str, str]) -> Settings:
    """`values` as the agent holds them."""
    return Settings(values)


@pytest.fixture
def connect() -> Iterator[Callable[..., AgentClient]]:
    """Starts agents over the local connection: ``connect(values, **client options)``."""
    opened: list[tuple[AgentClient, LocalConnection]] = []

    def start(values: dict[str, str], **options: Any) -> AgentClient:
        connection = LocalConnection(Target("local", "local"))
        client = AgentClient(connection, values, **options)
        opened.append((client, connection))
        return client

    yield start
    for client, connection in opened:
        client.close()
        connection.close()


@pytest.fixture
def client(connect: Callable[..., AgentClient], values: dict[str, str]) -> AgentClient:
    """An agent whose lease is taken, on a pod that is ready."""
    return made_ready(connect(values))


@pytest.fixture
def perform(settings: Settings) -> Callable[..., dict[str, Any]]:
    """Runs one operation's function in this process: ``perform("state")``."""

    def run(op: str, /, **args: Any) -> dict[str, Any]:
        session = Session(settings, "r-test", None, lambda body: None)
        return OPERATIONS[op](session, args)

    return run


@pytest.fixture
def act(settings: Settings) -> Callable[..., dict[str, Any]]:
    """Runs one changing operation in this process, with the lease and a journal to write to.

    ``act("checkout", bundle=..., keys={"CHECKOUT_BRANCH": "main"})``
    """

    def run(op: str, /, keys: dict[str, str] | None = None, **args: Any) -> dict[str, Any]:
        changed = Settings({**settings, **(keys or {})})
        token = lease.take(changed, OWNER)["token"]
        Path(changed.operations, "r-test").mkdir(parents=True, exist_ok=True)
        session = Session(changed, "r-test", token, lambda body: None)
        return OPERATIONS[op](session, args)

    return run


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """A repository with one commit on `main`."""
    return Upstream(tmp_path / "upstream")


@pytest.fixture
def sweep_values(values: dict[str, str]) -> dict[str, str]:
    """The agent's keys, and those of a sweep that trains with plain python."""
    return {
        **values,
        "TRAIN_LAUNCHER": "python",
        "TRAIN_WORKDIR_REL": "train",
        "TRAIN_ENTRYPOINT": "train.py",
        "TRAIN_COMMAND_TEMPLATE": "",
        "NPROC_PER_NODE": "1",
        "RUN_KILL_GRACE_SECS": "1",
        "RUN_LINGER_SECS": "1",
        "RUN_HEARTBEAT_SECS": "0",
        "RUN_RETRIES": "1",
        "RUN_RETRY_ON": "nccl preempted stalled",
        "RUN_TIMEOUT_SECS": "0",
        "SWEEP_FAIL_FAST": "0",
        "SWEEP_TMUX_SESSION": "sweeps",
        "SWEEP_WANDB": "0",
    }


@pytest.fixture
def pod_with(
    connect: Callable[..., AgentClient], sweep_values: dict[str, str]
) -> Iterator[Callable[..., SweepPod]]:
    """Makes a pod in CHECKED_OUT: ``pod_with(RUN_TIMEOUT_SECS="1")``."""
    made: list[SweepPod] = []

    def make(**more: str) -> SweepPod:
        mine = {**sweep_values, **more}
        made.append(ready_pod(connect(mine), mine))
        return made[-1]

    yield make
    for pod in made:
        pod.client.request("campaign-stop")
        socket = ids.tmux_socket(str(pod.outputs))
        subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)
        Path(f"/tmp/tmux-{os.getuid()}/{socket}").unlink(missing_ok=True)


@pytest.fixture
def pod(pod_with: Callable[..., SweepPod]) -> SweepPod:
    """A pod in CHECKED_OUT."""
    return pod_with()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchPath:
    """The pod's PATH, with everything that is needed and no apt-get."""
    return SearchPath(tmp_path / "bin", monkeypatch)
