"""The controller's end of the agent: requests, refusals, interruptions."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.agent_pod import OWNER, made_ready
from tests.support.scripted_agent import CountingConnection, Start


def test_requests_share_one_channel_and_are_counted(
    local: AgentClient, connection: CountingConnection
) -> None:
    for _ in range(5):
        local.request("state")

    assert len(connection.started) == 1
    assert local.round_trips == 6


def test_a_refusal_carries_what_the_pod_said(local: AgentClient) -> None:
    local.request("lease-take", {"owner": OWNER})

    with pytest.raises(OperationFailed) as refused:
        local.request("lease-take", {"owner": {**OWNER, "user": "bob"}})

    assert refused.value.kind == "lease-held"
    assert refused.value.facts["owner"] == OWNER
    assert "Wait" in refused.value.remedy


def test_many_threads_may_ask_at_once(local: AgentClient) -> None:
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(local.request("state"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer["state"] for answer in answers] == ["INIT"] * 8


@pytest.mark.fault("N1")
def test_an_agent_that_is_killed_is_started_again(
    local: AgentClient, connection: CountingConnection
) -> None:
    os.kill(local.hello["pid"], signal.SIGKILL)

    assert local.request("state")["state"] == "INIT"
    assert len(connection.started) == 2


def test_an_agent_that_always_dies_is_broken_not_retried_for_ever(
    local: AgentClient, connection: CountingConnection
) -> None:
    dying = ["sh", "-c", "echo wf-agent have; echo out of memory >&2"]
    connection.replace = lambda argv: dying
    os.kill(local.hello["pid"], signal.SIGKILL)

    with pytest.raises(OperationFailed, match="out of memory") as failed:
        local.request("state")

    assert failed.value.kind == "agent-broken"
    assert len(connection.started) < 8


@pytest.mark.usefixtures("slow_answers")
def test_an_interrupted_request_leaves_the_client_usable(
    start: Start,
    connection: CountingConnection,
    local: AgentClient,
    values: dict[str, str],
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    script = tmp_path / "slow.sh"
    script.write_text(f"echo begun\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client = start(connection, values)
    made_ready(client)

    def interrupt(event: Any) -> None:
        if event.get("line") == "begun":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.request("bootstrap", id="b-1", on_event=interrupt)

    assert client.request("state")["state"] == "POD_READY"
    assert client.request("operation", {"id": "b-1"}) == {"state": "running"}
    gate.touch()
    assert client.request("bootstrap", id="b-1")["scripts"][0]["rc"] == 0


def test_a_request_past_its_time_fails_and_its_late_answer_is_dropped(
    start: Start, connection: CountingConnection, values: dict[str, str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = tmp_path / "slow.sh"
    script.write_text(f"while [ ! -e {gate} ]; do sleep 0.02; done\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client = start(connection, values)
    made_ready(client)

    with pytest.raises(OperationFailed, match=r"within 0\.5 s") as failed:
        client.request("bootstrap", id="b-1", timeout_s=0.5)
    gate.touch()
    done = client.request("bootstrap", id="b-1")

    assert failed.value.kind == "timeout"
    assert done["missing"] == []
    assert client.request("state")["state"] == "BOOTSTRAPPED"
