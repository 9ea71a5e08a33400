"""Clocks that are hours off, and that step while a row trains: no time limit follows them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import WallClock, has_compiler
from tests.support.sshd import Sshd
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(not has_compiler(), reason="no C compiler is installed"),
    pytest.mark.slow,
]

ALL = ("--wf-wait=true", "--wf-fetch=all")


HOURS_S = 3 * 3600


@pytest.fixture
def sshd(make_sshd: Callable[..., Sshd]) -> Sshd:
    """A pod of this test's own."""
    return make_sshd()


@pytest.mark.fault("P15")
@pytest.mark.parametrize("whose", ["the pod's", "the controller's"])
def test_a_clock_that_is_off_and_steps_back_ends_nothing_and_reorders_nothing(
    whose: str,
    new_project: Callable[..., Any],
    over_ssh: Callable[..., Any],
    sshd: Sshd,
    tmp_path: Path,
) -> None:
    clock, gate = WallClock(tmp_path, HOURS_S), tmp_path / "gate"
    project = new_project(rows=(f"one,default.py,1,wait_for={gate},", "two,default.py,2,,"))
    over_ssh(project)
    if whose == "the pod's":
        sshd.environment += "".join(f" {name}={value}" for name, value in clock.environ.items())
        sshd.restart()
        told = project.wf("doctor")
        ahead = re.search(r"clock is (\d+) s ahead", told.stdout)
        assert ahead, told.stdout
        # by as much less as the request took
        assert HOURS_S - 300 < int(ahead[1]) <= HOURS_S
    else:
        project.environ = {**project.environ, **clock.environ}
    project.configure(RUN_TIMEOUT_SECS="300", RUN_HEARTBEAT_SECS="30")
    run = project.start(*ALL)
    log = project.outputs / "one" / "stdout.log"
    until(
        lambda: (log.exists() and "training" in log.read_text()) or run.process.poll(), "it trains"
    )
    clock.set(-HOURS_S)
    gate.touch()
    run.wait()
    assert run.code == 0, run.output
    for run_id in ("one", "two"):
        summary = json.loads((project.outputs / run_id / "summary.json").read_text())
        assert (summary["state"], summary["attempts"]) == ("success", 1)
        assert 0 <= summary["duration_s"] < 300
    written = log if whose == "the pod's" else run.folder / "events.jsonl"
    times = re.findall(r"\d{4}-\d\d-\d\dT[\d:.]+Z", written.read_text())
    assert times != sorted(times), "the clock did step"
    told = project.wf("verify", str(run.folder))
    assert told.returncode == 0, told.stdout
