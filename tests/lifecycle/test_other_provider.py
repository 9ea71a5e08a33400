"""A provider of another make: it comes with conftest.py, and no module of ours knows it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

SHED = ROOT / "tests" / "support" / "shed_provider.py"
#: A second renting provider in the same project.
BARN = '''

class BarnProvider(ShedProvider):
    """Another account, with keys of its own."""

    name = "barn"


def pytest_wf_providers():
    """Both of them."""
    return [ShedProvider(), BarnProvider()]
'''


@pytest.fixture
def shed(new_project: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Makes projects that rent from the shed, changed by config keys."""
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    def make(more: str = "", **keys: str) -> Any:
        project = new_project()
        (project.root / "conftest.py").write_text(SHED.read_text() + more)
        pod = project.root.parent / "pod"
        project.outputs = project.root / "nothing"  # its pod ends with the flow
        project.configure(
            OPS_DEFAULT_HOST="",
            OPS_REMOTE_REPO=str(pod / "repo"),
            OPS_REMOTE_OUTPUTS_DIR=str(pod / "outputs"),
            REMOTE_ENV_PATH=str(pod / "project.env"),
            SSH_IDENTITY_FILE=str(key),
            **keys,
        )
        return project

    return make


def rentals(project: Any) -> dict[str, str]:
    """The state of each rental, by provider."""
    paths = (project.root / ".wf" / "rentals").glob("*/*.json")
    return {path.parent.name: json.loads(path.read_text())["state"] for path in paths}


def test_it_takes_fewer_than_150_lines() -> None:
    assert len(SHED.read_text().splitlines()) < 150


def test_a_flow_rents_reaches_and_deletes_its_pod(shed: Callable[..., Any]) -> None:
    project = shed(SHED_YES="1", SHED_GPUS="2", SHED_TTL="2h", WF_MAX_USD_PER_HOUR="1")
    flown = project.flow("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
    assert flown.code == 0, flown.output
    assert "transport=shed" in flown.output.splitlines()
    p10 = flown.record("phase.P10.evidence")["facts"]
    assert (p10["provider"], p10["gpus"], p10["usd_per_hour"]) == ("shed", 2, 0.5)
    assert p10["removal_at"]
    bound = flown.record("phase.P20.evidence")
    assert (bound["transport"], bound["target_source"]) == ("shed", "autobind")
    assert flown.record("phase.P30.evidence")["facts"]["connection"]["host_key_trust"] == "recorded"
    released = flown.record("phase.P90.evidence")["facts"]["released"]
    assert (released["deleted"], released["confirmed_absent"]) == (True, True)
    assert released["pod_id"] == p10["rented"]
    assert rentals(project) == {"shed": "deleted"}
    assert not list((project.root / "shed").glob("*.json"))


def test_renting_needs_the_consent_that_the_provider_names(shed: Callable[..., Any]) -> None:
    project = shed(SHED_GPUS="1")
    flown = project.flow("--wf-wait=true")
    assert flown.code == 1
    assert flown.record("flow.summary")["failed_phase"] == "P00"
    assert "Set SHED_YES=1. Consent to what costs money or deletes" in flown.output
    assert rentals(project) == {}


def test_its_keys_are_checked_and_described_like_all_others(shed: Callable[..., Any]) -> None:
    project = shed(SHED_GPUS="many", SHED_GPU="H100")
    refused = project.flow()
    assert refused.code == 4
    text = (project.root / "flows" / "workflow.env").read_text().splitlines()
    line = 1 + text.index("SHED_GPUS=many")
    assert (
        f'flows/workflow.env:{line}: SHED_GPUS="many": not a whole number >= 1.' in refused.output
    )
    assert "SHED_GPU: not a config key. Did you mean SHED_GPUS?" in refused.output
    shown = project.wf("keys", "SHED_GPUS", "SHED_TTL")
    assert shown.stdout.splitlines()[:2] == ["SHED_GPUS", "  meaning  GPUs to rent from the shed."]
    assert project.wf("keys", "SHED_GPU").returncode == 4


def test_the_target_key_of_a_provider_names_one_of_its_pods(shed: Callable[..., Any]) -> None:
    project = shed(SHED_TARGET="no-such-pod", SHED_YES="1")
    flown = project.flow("--wf-wait=true")
    bound = flown.record("phase.P20.evidence")
    assert (bound["config_target"], bound["target_source"]) == ("no-such-pod", "explicit")
    assert flown.record("phase.P20.verdict")["phase_pass"] is True
    assert "Correct SHED_TARGET" in flown.output


@pytest.mark.long
def test_of_two_providers_the_config_says_which_one_rents(shed: Callable[..., Any]) -> None:
    project = shed(BARN, SHED_YES="1", BARN_YES="1", BARN_FOLDER="barn")
    refused = project.flow()
    assert refused.code == 4
    assert "WF_PROVIDER: several providers could rent." in refused.output
    assert "Set it to one of these: shed, barn, lium." in refused.output
    project.configure(WF_PROVIDER="nobody")
    assert 'WF_PROVIDER="nobody": no provider of that name rents pods.' in project.flow().output
    project.configure(WF_PROVIDER="barn")
    flown = project.flow("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
    assert flown.code == 0, flown.output
    assert flown.record("phase.P10.evidence")["facts"]["provider"] == "barn"
    assert rentals(project) == {"barn": "deleted"}


def test_the_provider_whose_keys_are_set_rents(shed: Callable[..., Any]) -> None:
    project = shed(BARN, BARN_FOLDER="barn")
    flown = project.flow("--wf-wait=true")
    assert "Set BARN_YES=1." in flown.output
