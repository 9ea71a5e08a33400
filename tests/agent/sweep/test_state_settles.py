"""The pod's state does not outlive those who run the sweep, whoever asks for it first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from tests.support.sweep_pod import make_row
from tests.support.waiting import until


@pytest.fixture
def abandoned(pod: Any) -> Any:
    """A pod whose supervisor was killed, and whose only runner with it."""
    pod.trainer("time.sleep(600)\n")
    pod.start(make_row("a"))
    until(lambda: pod.rows()["a"]["attempts"] == 1 and pod.cookie_holders("a"), "row a works")
    assert pod.client.request("state")["state"] == fsm.SWEEP_RUNNING, "it lives"
    assert pod.kill_supervisor()
    process.kill_tree("", pod.read("a/attempts/1/pid.json"), 0.1)
    return pod


def test_the_state_of_an_abandoned_sweep_is_stalled(abandoned: Any) -> None:
    told = abandoned.client.request("state")
    assert told["state"] == fsm.SWEEP_STALLED
    assert told["reason"] == "the campaign's supervisor is gone"


def test_a_pod_that_is_greeted_is_stalled_at_once(abandoned: Any) -> None:
    assert abandoned.client.request("ready", {"flow_id": "f-2"})["state"] == fsm.SWEEP_STALLED


def test_who_may_write_nothing_leaves_it_as_it_is(
    abandoned: Any, connect: Callable[..., AgentClient]
) -> None:
    before = Path(abandoned.settings.state_file).read_bytes()
    looking = connect(dict(abandoned.settings), write_nothing=True)
    assert looking.request("state")["state"] == fsm.SWEEP_RUNNING
    assert Path(abandoned.settings.state_file).read_bytes() == before


def test_a_damaged_campaign_hides_no_state(abandoned: Any) -> None:
    for campaign in Path(abandoned.settings.campaigns).glob("*/campaign.json*"):
        campaign.write_text("{")
    assert abandoned.client.request("state")["state"] == fsm.SWEEP_RUNNING


def test_the_newest_campaign_stands_in_for_a_damaged_record_of_the_latest(abandoned: Any) -> None:
    for latest in Path(abandoned.settings.campaigns).glob("latest.json*"):
        latest.write_text("{")
    assert abandoned.client.request("state")["state"] == fsm.SWEEP_STALLED
    assert "the newest that is there is c-" in abandoned.client.findings[0]
