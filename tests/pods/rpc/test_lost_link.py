"""Links that fall silent or break, and pods that do not come back."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest

from pytest_wf.errors import AuthenticationError, LinkLost, Unreachable
from pytest_wf.pods.base import Connection
from pytest_wf.pods.patience import Patience
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.scripted_agent import CountingConnection, Start, scripted


@pytest.mark.fault("N5")
def test_a_silent_link_is_given_up_and_opened_anew(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    connection.replace = lambda argv: scripted("time.sleep(600)")
    patience = Patience(silence_s=20)
    with closing(CountingConnection()) as fresh:

        def reconnect() -> Connection:
            patience.silence_s = 20
            return fresh

        client = start(connection, values, reconnect=reconnect, patience=patience)
        patience.silence_s = 0.5

        assert client.request("state")["state"] == "INIT"

    assert not connection.is_alive()


def test_a_link_that_does_not_come_back_is_unknown_and_said_so(
    start: Start, local: AgentClient, connection: CountingConnection, values: dict[str, str]
) -> None:
    now, tried = [0.0], 0

    def unreachable() -> Connection:
        nonlocal tried
        tried += 1
        now[0] += 30
        raise Unreachable("no route to the pod")

    patience = Patience(60, clock=lambda: now[0])
    client = start(connection, values, reconnect=unreachable, patience=patience)
    connection.close()

    with pytest.raises(LinkLost, match=r"pod lost since .*: no route to the pod") as lost:
        client.request("state")

    assert "unknown" in lost.value.remedy
    assert tried == 2


@pytest.mark.usefixtures("slow_answers")
def test_a_lost_pod_costs_the_next_question_one_try_and_no_patience(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    now, tried, fresh = [0.0], 0, CountingConnection()
    patience = Patience(0, clock=lambda: now[0])

    def reconnect() -> Connection:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise Unreachable("no route to the pod")
        return fresh

    client = start(connection, values, reconnect=reconnect, patience=patience)
    connection.close()

    for expected, wait_s in ((0, 0), (0, 60), (1, 0), (1, 60), (2, 0)):
        with pytest.raises(LinkLost, match="pod lost since"):
            client.request("state")
        assert tried == expected
        now[0] += wait_s
    now[0] += 60
    assert client.request("state")["state"] == "INIT"
    assert not patience.is_over
    fresh.close()


def test_without_a_way_to_reconnect_a_closed_link_is_lost_at_once(
    local: AgentClient, connection: CountingConnection
) -> None:
    connection.close()

    with pytest.raises(LinkLost):
        local.request("state")


@pytest.mark.fault("N10")
def test_a_login_that_is_refused_is_not_tried_again(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    tried = 0

    def refused() -> Connection:
        nonlocal tried
        tried += 1
        raise AuthenticationError("the pod refused every key.")

    client = start(connection, values, reconnect=refused)
    connection.close()

    with pytest.raises(AuthenticationError):
        client.request("state")

    assert tried == 1


@pytest.mark.timeout(60)
def test_after_an_interruption_an_agent_that_hangs_gets_one_short_try(
    local: AgentClient, connection: CountingConnection
) -> None:
    # as on a disk that hangs: the machine starts commands, and no agent reads anything
    connection.replace = lambda argv: ["sleep", "60"] if "-I" in argv else argv
    os.kill(local.hello["pid"], signal.SIGKILL)
    local._patience.doubt()
    for _ in range(3):
        with pytest.raises(LinkLost, match="pod lost since"):
            local.request("state")


@pytest.mark.usefixtures("slow_answers")
def test_after_an_interruption_an_agent_that_answers_is_kept(
    local: AgentClient, connection: CountingConnection
) -> None:
    local.request("state")
    local._patience.doubt()

    assert local.request("state")["state"] == "INIT"
    assert len(connection.started) == 1
    assert not local._patience.is_over


@pytest.mark.usefixtures("slow_answers")
def test_after_an_interruption_an_agent_that_is_gone_is_started_again(
    local: AgentClient, connection: CountingConnection
) -> None:
    os.kill(local.hello["pid"], signal.SIGKILL)
    local._patience.doubt()

    assert local.request("state")["state"] == "INIT"
    assert len(connection.started) == 2
