"""A pod whose sweep runs is deleted only by force, and then nothing of it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_wf.agent.control import frozen_campaign
from pytest_wf.errors import OperationFailed


def test_a_living_supervisor_stops_a_deletion_and_force_stops_the_supervisor(
    pod: Any, make_row: Callable[..., dict[str, Any]], until: Any
) -> None:
    pod.trainer("print('up', flush=True)\ntime.sleep(600)\n")
    pod.start(make_row("a"))
    run = pod.outputs / "a"
    until(lambda: (run / "stdout.log").exists() and "up" in (run / "stdout.log").read_text())
    pod.client.request("fsm-reset", {"state": "SWEEP_STALLED", "reason": "a mistake"})

    with pytest.raises(OperationFailed) as refused:
        pod.client.request("delete")

    assert refused.value.kind == "sweep-running"
    campaign = frozen_campaign.find(pod.settings)
    assert frozen_campaign.supervision(campaign) == "alive"

    pod.client.request("delete", {"force": True}, timeout_s=120)

    assert frozen_campaign.supervision(campaign) != "alive"
    assert not run.exists()
    assert pod.client.request("state")["state"] == "POD_TERMINATED"
