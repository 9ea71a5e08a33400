"""A cancelled CI job and the one that goes on, on another runner: as docs/ci.md has it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.loopback import LoopbackLium
from tests.support.waiting import until

pytestmark = pytest.mark.slow

FLOW = ("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")


def fresh_checkout(project: Any, name: str) -> Any:
    """The project as another runner checks it out: nothing of what flows have left."""
    root = project.root.parent / name / project.root.name
    left = shutil.ignore_patterns(".wf", "reports", "known_hosts")
    shutil.copytree(project.root, root, ignore=left)
    return type(project)(root, project.environ)


def restore_cache(project: Any, into: Any) -> None:
    """What the recipes keep from job to job, written on a machine that this one is not."""
    shutil.copytree(
        project.root / ".wf" / "rentals" / "lium", into.root / ".wf" / "rentals" / "lium"
    )
    shutil.copy(project.root / "flows" / "known_hosts", into.root / "flows")
    for path in (into.root / ".wf" / "rentals").glob("*/*.json"):
        rental = json.loads(path.read_text())
        rental["owner"]["host"] = "another-runner"
        path.write_text(json.dumps(rental))


@pytest.mark.long
def test_a_fresh_job_that_is_told_the_pod_goes_on_where_a_cancelled_one_was(
    lium_project: Callable[..., Any], api: LoopbackLium, gate: Path
) -> None:
    project = lium_project(SSH_HOST_KEY_POLICY="strict")
    sweep = project.root / "flows" / "sweep.csv"
    sweep.write_text(f"run_id,config,seed,overrides,notes\none,default.py,1,wait_for={gate},\n")
    run = project.start(*FLOW)
    log = project.outputs / "one" / "stdout.log"
    until(lambda: log.exists() and "training one" in log.read_text(), "the row trains")
    run.process.send_signal(signal.SIGINT)
    assert run.wait().code == 2, run.output
    (pod,) = api.account.billed()
    gate.touch()

    stranger = fresh_checkout(project, "without-cache")
    stranger.configure(LIUM_TARGET=pod.id)
    refused = stranger.flow(*FLOW, "--wf-sweep=resume")
    assert refused.record("flow.summary")["failure_code"] == 212, refused.output
    assert "SSH_HOST_FINGERPRINT" in refused.output
    assert api.account.billed() == [pod]

    fresh = fresh_checkout(project, "with-cache")
    restore_cache(project, fresh)
    fresh.configure(LIUM_TARGET=pod.id)
    resumed = fresh.flow(*FLOW, "--wf-sweep=resume")
    assert resumed.code == 0, resumed.output
    assert len((fresh.root / "reports/runs/one/out/argv.json").read_text().splitlines()) == 1
    assert (api.account.billed(), len(api.account.pods)) == ([], 1)
