"""Two controllers on one pod: one owner each time, and no write of one that was taken over."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from tests.support.waiting import until

SHORT_TTL_S = 0.1


def owner(name: str, flow: int) -> dict[str, Any]:
    """Who a controller says that it is."""
    who = {"host": name, "user": name, "pid": 7, "start_time": 1, "project": "/p"}
    return {**who, "flow_id": f"f-{name}-{flow}"}


def take(client: AgentClient, name: str, flow: int, **more: Any) -> dict[str, Any]:
    """Ask for the pod."""
    args = {"owner": owner(name, flow), "ttl_s": 30, **more}
    return client.request("lease-take", args)


@pytest.mark.fault("C5")
@pytest.mark.parametrize("starts", [20, pytest.param(200, marks=pytest.mark.long)])
def test_of_two_that_start_at_once_one_owns_the_pod_and_the_other_gets_its_name(
    connect: Callable[..., AgentClient], values: dict[str, str], starts: int
) -> None:
    clients = {name: connect(values) for name in ("ada", "bob")}
    together = threading.Barrier(2)
    told: dict[str, Any] = {}

    def start(name: str, flow: int) -> None:
        together.wait(60)
        try:
            told[name] = take(clients[name], name, flow)
        except OperationFailed as e:
            told[name] = e

    for flow in range(starts):
        threads = [threading.Thread(target=start, args=(name, flow)) for name in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        winners = [name for name, answer in told.items() if isinstance(answer, dict)]
        assert len(winners) == 1, told
        (winner,) = winners
        (loser,) = set(clients) - {winner}
        refused = told[loser]
        assert refused.kind == "lease-held"
        assert f"{winner}@{winner} (pid 7, flow f-{winner}-{flow}) since " in str(refused)
        assert refused.facts["owner"]["host"] == winner
        clients[winner].token = told[winner]["token"]
        clients[winner].request("lease-drop")


@pytest.mark.fault("C6")
@pytest.mark.parametrize("takeovers", [5, pytest.param(50, marks=pytest.mark.long)])
def test_no_late_write_of_a_frozen_owner_lands(
    connect: Callable[..., AgentClient], values: dict[str, str], takeovers: int
) -> None:
    first, second = connect(values), connect(values)
    frozen = first.hello["pid"]
    landed = []
    late: list[Exception | None] = []

    def write_late() -> None:
        try:
            first.request("fsm-reset", {"state": fsm.SWEEP_COMPLETED, "reason": "late"})
            late.append(None)
        except OperationFailed as e:
            late.append(e)

    for number in range(takeovers):
        first.token = take(first, "ada", number, ttl_s=SHORT_TTL_S)["token"]
        os.kill(frozen, signal.SIGSTOP)
        try:
            writing = threading.Thread(target=write_late)
            writing.start()
            second.token = taken(second, number)["token"]
            second.request("fsm-reset", {"state": fsm.POD_READY, "reason": f"mine {number}"})
        finally:
            os.kill(frozen, signal.SIGCONT)
        writing.join(60)
        refused = late.pop()
        assert isinstance(refused, OperationFailed), "a late write was accepted"
        assert refused.kind == "lease-lost"
        assert "bob@bob" in str(refused)
        state = second.request("state")
        landed += [step for step in state["history"] if step["reason"] == "manual: late"]
        assert state["reason"] == f"manual: mine {number}"
        second.request("lease-drop")
    assert not landed


def taken(client: AgentClient, number: int) -> dict[str, Any]:
    """Take the pod over as soon as the frozen owner's lease has run out."""

    def answer() -> dict[str, Any] | None:
        try:
            return take(client, "bob", number)
        except OperationFailed as e:
            if e.kind != "lease-held":
                raise
            return None

    got: dict[str, Any] = until(answer, "the lease of the frozen owner runs out")
    assert got["taken_from"]["owner"]["host"] == "ada"
    return got
