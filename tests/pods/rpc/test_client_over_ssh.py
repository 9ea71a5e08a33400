"""The agent behind a real SSH server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.pods.base import Connection
from tests.support.agent_pod import made_ready
from tests.support.scripted_agent import Start

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd


def test_one_connection_carries_the_whole_conversation(
    start: Start, client: Client, sshd: Sshd, values: dict[str, str]
) -> None:
    before = sshd.accepted()
    connection = client.connect()
    agent = start(connection, values)
    made_ready(agent)

    assert agent.request("bootstrap")["missing"] == []
    assert agent.request("state")["state"] == "BOOTSTRAPPED"

    connection.close()
    assert sshd.accepted() - before == 1


@pytest.mark.fault("N2")
def test_a_link_cut_in_mid_request_attaches_to_the_work_and_does_it_once(
    start: Start, client: Client, sshd: Sshd, values: dict[str, str], tmp_path: Path
) -> None:
    gate, count = tmp_path / "gate", tmp_path / "count"
    script = tmp_path / "b.sh"
    script.write_text(f"echo once >> {count}\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    links = [client.connect()]

    def reconnect() -> Connection:
        links.append(client.connect())
        return links[-1]

    agent = start(links[0], values, reconnect=reconnect)
    made_ready(agent)

    def cut(event: Any) -> None:
        if count.exists() and len(links) == 1 and not gate.exists():
            sshd.cut_sessions()
            gate.touch()

    result = agent.request("bootstrap", id="b-1", on_event=cut)

    assert len(links) == 2
    assert result["scripts"][0]["rc"] == 0
    assert count.read_text() == "once\n"
    for link in links:
        link.close()


@pytest.mark.fault("N1", "N9")
def test_a_server_that_comes_back_is_waited_for(
    start: Start, client: Client, sshd: Sshd, values: dict[str, str]
) -> None:
    links = [client.connect()]

    def reconnect() -> Connection:
        links.append(client.connect())
        return links[-1]

    agent = start(links[0], values, reconnect=reconnect)
    sshd.cut_sessions()
    sshd.stop()
    back = threading.Timer(0.7, sshd.start)
    back.start()

    assert agent.request("state")["state"] == "INIT"

    back.join()
    for link in links:
        link.close()
