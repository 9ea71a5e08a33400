"""Clients of an agent on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.pods.rpc import client
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.agent_pod import config_values
from tests.support.scripted_agent import CountingConnection, Start


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    """The config keys that the agent reads."""
    pod = tmp_path / "pod"
    return config_values(pod / "outputs", pod)


@pytest.fixture
def connection() -> Iterator[CountingConnection]:
    """A link to this machine."""
    opened = CountingConnection()
    yield opened
    opened.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes clients, as `AgentClient` does, and closes them afterwards."""
    started: list[AgentClient] = []

    def make(*words: Any, **options: Any) -> AgentClient:
        started.append(AgentClient(*words, **options))
        return started[-1]

    yield make
    for one in started:
        one.close()


@pytest.fixture
def slow_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent has as long as it takes where the client waits for a short time only."""
    for name in ("TRY_S", "_AT_ONCE_S"):
        monkeypatch.setattr(client, name, 60.0)


@pytest.fixture
def local(start: Start, connection: CountingConnection, values: dict[str, str]) -> AgentClient:
    """A client on this machine."""
    return start(connection, values)
