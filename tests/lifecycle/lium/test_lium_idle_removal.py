"""WF_IDLE_DELETE_SECS: a controller that is gone for good leaves a pod that ends by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.loopback import LoopbackLium
from tests.support.waiting import until

pytestmark = pytest.mark.slow

WATCHED = ("--wf-wait=true", "--wf-fetch=all")


def left_s(api: LoopbackLium) -> float | None:
    """Seconds until the only pod ends by itself; None for never."""
    (pod,) = api.account.billed()
    if pod.removal_at is None:
        return None
    return (pod.removal_at - datetime.now(timezone.utc)).total_seconds()


def killed_while_training(project: Any, gate: Path) -> Any:
    """A flow whose controller is killed while its only row trains."""
    sweep = project.root / "flows" / "sweep.csv"
    sweep.write_text(f"run_id,config,seed,overrides,notes\none,default.py,1,wait_for={gate},\n")
    run = project.start(*WATCHED)
    log = project.outputs / "one" / "stdout.log"
    until(
        lambda: (
            log.exists()
            and "training one" in log.read_text()
            and (run.folder / "phase.P60.verdict.json").exists()
        ),
        "the row trains",
    )
    run.kill()
    return run


def test_a_pod_whose_controller_is_killed_ends_after_every_row_must_have_ended(
    project_of: Callable[..., Any], api: LoopbackLium, gate: Path
) -> None:
    project = project_of(
        api, LIUM_TTL="", RUN_TIMEOUT_SECS="3000", RUN_RETRIES="1", WF_IDLE_DELETE_SECS="900"
    )
    run = killed_while_training(project, gate)
    ready = run.record("phase.P30.evidence")["facts"]["idle_removal"]
    asked_s = (
        datetime.fromisoformat(ready.replace("Z", "+00:00"))
        - datetime.fromisoformat(run.record("flow.start")["started_at"].replace("Z", "+00:00"))
    ).total_seconds()
    assert 890 < asked_s < 1200  # armed before there is a sweep
    longest_s = 2 * (3000 + 30 + 120)
    left = left_s(api)
    assert left is not None
    assert longest_s + 900 - 300 < left <= longest_s + 900
    launched = run.record("phase.P60.evidence")["facts"]["idle_removal"]
    assert launched.startswith(api.account.billed()[0].removal_at.strftime("%Y-%m-%dT%H:%M"))  # type: ignore[union-attr]
    # who comes back and sees the sweep's end moves the moment near, and ending the pod clears all
    gate.touch()
    kept = project.flow(*WATCHED, "--wf-sweep=resume")
    assert kept.code == 0, kept.output
    facts = kept.record("phase.P90.evidence")["facts"]
    assert (facts["kept"], facts["idle_error"]) == (api.account.pods[0].id, "")
    left = left_s(api)
    assert left is not None
    assert 300 < left <= 900
    gone = project.wf("pod-delete", api.account.pods[0].id)
    assert (gone.returncode, api.account.billed()) == (0, []), gone.stderr


def test_nothing_is_armed_over_a_sweep_whose_end_nobody_knows(
    project_of: Callable[..., Any], api: LoopbackLium, gate: Path
) -> None:
    project = project_of(api, LIUM_TTL="", WF_IDLE_DELETE_SECS="900")
    run = killed_while_training(project, gate)
    assert left_s(api) is None
    assert run.record("phase.P30.evidence")["facts"]["idle_removal"].startswith("20")
    assert "end time is unknown" in run.record("phase.P60.evidence")["facts"]["idle_removal"]
