"""A pod in a temporary directory, and the agent in this process or in one of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import lease
from pytest_wf.agent.control.request import Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.server.operations import OPERATIONS
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient

OWNER = {
    "host": "laptop",
    "user": "ada",
    "pid": 7,
    "start_time": 1,
    "project": "/p",
    "flow_id": "f",
}


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    """The config keys that the agent reads, for a pod below `tmp_path`."""
    pod = tmp_path / "pod"
    return {
        "OPS_REMOTE_OUTPUTS_DIR": f"{pod}/outputs",
        "OPS_REMOTE_REPO": f"{pod}/repo",
        "REMOTE_ENV_PATH": f"{pod}/project.env",
        "WF_STATE_FILE": f"{pod}/outputs/_control/workflow_state.json",
        "REMOTE_PYTHON_BIN": "python3",
        "REQUIRE_GPU_TORCH": "0",
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


def made_ready(client: AgentClient) -> AgentClient:
    """`client` with the lease, after P30."""
    client.token = client.request("lease-take", {"owner": OWNER})["token"]
    client.request("config-sync")
    client.request("ready", {"flow_id": "f-1"})
    return client


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


class Upstream:
    """A real git repository that pods clone from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
        self.commit("train.py", "print('training')\n")

    def git(self, *words: str) -> str:
        """Run git in it and return what it says."""
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", "-C", str(self.path), *identity, *words],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, name: str, content: str) -> str:
        """Commit a file; the commit's id."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        self.git("add", "--", name)
        self.git("commit", "-q", "-m", f"Change {name}")
        return self.head

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """A repository with one commit on `main`."""
    return Upstream(tmp_path / "upstream")
