"""A smoke run ends with its flow, however that ends, and the next flow begins anew."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.long]


def _trainer(project: Any) -> int:
    """The pid of the smoke run's trainer, once it runs."""

    def pid() -> int:
        found = project.outputs.glob("_smoke/one/attempts/1/status.json")
        pids = [json.loads(path.read_text())["pid"] for path in found]
        return next((pid for pid in pids if pid and Path(f"/proc/{pid}").exists()), 0)

    return int(until(pid, "the trainer of the smoke run"))


@pytest.mark.fault("C2")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_flow_that_is_ended_in_its_smoke_run_is_begun_again(
    project: Any, number: signal.Signals
) -> None:
    project.configure(SMOKE_OVERRIDES="sleep=100")
    run = project.start("--wf-smoke")
    pid = _trainer(project)
    os.kill(run.process.pid, number)
    run.wait()
    if number == signal.SIGINT:
        assert not Path(f"/proc/{pid}").exists()
        verdict = run.record("phase.P60.verdict")
        assert verdict["suggested_next_command"] == "pytest flows/ --wf-flow --wf-smoke"
    assert not list(project.outputs.glob("*/attempts"))
    project.configure(SMOKE_OVERRIDES="steps=1")
    again = project.flow("--wf-smoke", "--wf-wait=true")
    assert again.code == 0, again.output
    assert not Path(f"/proc/{pid}").exists()
    assert again.record("phase.P60.evidence")["facts"]["smoke"]["result"]["ok"] is True
    assert not (project.outputs / "_smoke").exists()
