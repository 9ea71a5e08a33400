"""Whole flows on rented pods: the real SDK, a loopback account, real SSH servers as pods."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.loopback import LoopbackLium, Node, SshdPods

END_TO_END = ("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[LoopbackLium]:
    """An empty account with two nodes on offer, the cheaper of which is not secure."""
    nodes = [
        Node(price_per_gpu=1.5, tier="spot"),
        Node(price_per_gpu=2.0),
        Node(price_per_gpu=9.0),
    ]
    with LoopbackLium(nodes, machines=SshdPods(tmp_path / "pods")) as api:
        yield api


@pytest.fixture
def lium_project(
    new_project: Callable[..., Any], api: LoopbackLium, clean_environ: dict[str, str]
) -> Callable[..., Any]:
    """Makes projects that rent their pods from the account."""
    home = Path(clean_environ["HOME"])
    (home / ".ssh").mkdir(mode=0o700)
    key = home / ".ssh" / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    clean_environ.update(api.environ())

    def make(**keys: str) -> Any:
        project = new_project()
        pod = project.root.parent / f"pod-of-{project.root.name}"
        pod.mkdir()
        project.outputs = pod / "outputs"
        project.configure(
            OPS_DEFAULT_HOST="",
            OPS_REMOTE_REPO=str(pod / "repo"),
            OPS_REMOTE_OUTPUTS_DIR=str(pod / "outputs"),
            REMOTE_ENV_PATH=str(pod / "project.env"),
            **{"LIUM_YES": "1", "LIUM_TTL": "2h", "WF_MAX_USD_PER_HOUR": "3", **keys},
        )
        return project

    return make


def test_from_an_empty_account_to_a_summary_and_back(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    api.behaviour.boot_s = 0.5
    api.behaviour.sshd_delay_s = 0.5
    project = lium_project()
    flown = project.flow(*END_TO_END)
    assert flown.code == 0, flown.output
    assert "13 passed" in flown.output
    assert "transport=lium" in flown.output.splitlines()
    summary = flown.record("flow.summary")
    assert [row["state"] for row in summary["rows"]] == ["success", "success"]
    assert summary["usd_per_hour"] == 2.0
    assert 0 < summary["cost_usd"] < 0.2
    assert (project.root / "reports" / "runs" / "two" / "summary.json").is_file()
    rented = flown.record("phase.P10.evidence")["facts"]
    assert rented["removal_at"] and rented["ttl_s"] == 7200
    assert rented["max_usd_per_hour"] == 3.0
    ended = flown.record("phase.P90.evidence")["facts"]["released"]
    assert ended["confirmed_absent"] is True
    assert ended["pod_id"] == rented["rented"]
    (pod,) = api.account.pods
    assert (pod.name, pod.node.price_per_gpu) == (rented["pod_name"], 2.0)
    assert pod.machine.accepted() == 1  # type: ignore[union-attr]
    assert (api.account.billed(), api.account.most_billed) == ([], 1)
    assert api.api_key not in flown.output
