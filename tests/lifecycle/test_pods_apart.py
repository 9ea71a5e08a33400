"""Whole flows on three pods that share nothing: one is broken, and one is lost in mid-row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_wf.evidence.chain import PROVENANCE
from pytest_wf.evidence.verify import verify_flow
from pytest_wf.testing import write_project
from tests.support import environment, pods_apart
from tests.support.flow_project import FlowRun, Project
from tests.support.network import pod_network
from tests.support.pods_apart import PodApart
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(bool(pods_apart.why_not()), reason=pods_apart.why_not()),
    pytest.mark.slow,
]

ALL = ("--wf-wait=true", "--wf-fetch=all")
RESUME = ("--wf-sweep=resume", *ALL)
#: r0 and r3 wait for a file, r2 fails.
_MORE = {0: "wait_for={base}/r0.gate", 2: "exit=3", 3: "wait_for={base}/r3.gate"}
ROWS = [f"r{i}" for i in range(12)]


class Fleet(NamedTuple):
    """Three pods, and a project of twelve rows on them."""

    base: Path
    pods: list[PodApart]
    project: Project

    def on(self, member: int, path: str) -> Path:
        """A path below a pod's outputs folder, as it is seen from here."""
        return self.pods[member - 1].file(self.base / "disk" / "outputs" / path)

    def lose_pod2_in_mid_row(self) -> FlowRun:
        """Start a flow, and take the power from pod2 while its row r3 trains."""
        run = self.project.start(*ALL)
        logs = [self.on(1, "r0/stdout.log"), self.on(2, "r3/stdout.log")]
        until(lambda: _train(logs) or run.process.poll() is not None, "r0 and r3 train")
        assert _train(logs), run.wait().output
        self.pods[1].power_off()
        return run


def _train(logs: list[Path]) -> bool:
    return all(log.exists() and "training" in log.read_text() for log in logs)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """pod3 cannot be bootstrapped; with pod1 alone, the flow goes on."""
    disk = tmp_path / "disk"
    with ExitStack() as stack:
        pods = []
        for i in range(3):
            net = stack.enter_context(pod_network())
            pods.append(PodApart(tmp_path / f"pod{i + 1}", net, disk))
            stack.callback(pods[-1].power_off)
        pods[2].file(disk / "broken").touch()
        known = tmp_path / "known_hosts"
        known.write_text("".join(pod.known_hosts_file.read_text() for pod in pods))
        for pod in pods:
            (pod.folder / "authorized_keys").write_text(
                (pods[0].folder / "authorized_keys").read_text()
            )
        script = tmp_path / "bootstrap.sh"
        script.write_text(f"test ! -e {disk}/broken\n")
        (tmp_path / "project").mkdir()
        root = write_project(
            tmp_path / "project",
            rows=[
                f"{run_id},default.py,{i},{_MORE.get(i, '').format(base=tmp_path)},"
                for i, run_id in enumerate(ROWS)
            ],
            config={
                "OPS_DEFAULT_HOST": " ".join(f"{p.user}@{p.host}:{p.port}" for p in pods),
                "SSH_IDENTITY_FILE": str(pods[0].identity_file),
                "SSH_KNOWN_HOSTS": str(known),
                "OPS_REMOTE_REPO": f"{disk}/repo",
                "OPS_REMOTE_OUTPUTS_DIR": f"{disk}/outputs",
                "REMOTE_ENV_PATH": f"{disk}/project.env",
                "WANDB_SETUP_SCRIPT": str(script),
                "RUN_WANDB_SETUP": "1",
                "POD_WAIT_MAX_SECS": "15",  # a login takes seconds on a slow machine
                "POD_SILENCE_MAX_SECS": "2",
                "RUN_RETRIES": "0",
                "WF_PODS_MIN": "1",
            },
        )
        project = Project(root, environment.clean_environ(tmp_path / "home"))
        yield Fleet(tmp_path, pods, project)
        for run in project.runs:
            if run.process.poll() is None:
                run.kill()


def _states(run: FlowRun) -> dict[str, str]:
    return {row["run_id"]: row["state"] for row in run.record("flow.summary")["rows"]}


def _all_ended_on_pod1(fleet: Fleet, run: FlowRun) -> None:
    """Each row has ended on pod1, and its verified results are here."""
    assert run.code == 1, run.output
    assert _states(run) == {i: "failed" if i == "r2" else "success" for i in ROWS}, run.output
    assert {owner for owner, _ in run.record("fleet")["assignment"].values()} == {"pod1"}
    for run_id in ROWS:
        assert (run.root / "reports/runs" / run_id / "summary.json").is_file()
    statement = json.loads((run.folder / "pods/pod1" / PROVENANCE).read_text())
    assert {file["name"].partition("/")[0] for file in statement["subject"]} == set(ROWS)
    for member in ("pod2", "pod3"):
        assert not (run.folder / "pods" / member / PROVENANCE).exists()
    assert run.record("phase.P70.evidence")["facts"]["gone"] == ["pod2"]
    assert not fleet.pods[2].file(fleet.base / "disk/outputs/r0").exists()
    result = verify_flow(run.folder)
    assert result.ok, result.findings


def _starts(fleet: Fleet, run_id: str) -> int:
    return len((fleet.on(1, run_id) / "out" / "argv.json").read_text().splitlines())


def test_rows_of_a_pod_that_is_declared_gone_in_mid_flow_run_elsewhere(fleet: Fleet) -> None:
    run = fleet.lose_pod2_in_mid_row()
    forgotten = fleet.project.wf("pod-forget", "pod2")
    assert forgotten.returncode == 0, forgotten.stderr
    for gate in ("r0.gate", "r3.gate"):
        (fleet.base / gate).touch()
    _all_ended_on_pod1(fleet, run.wait())
    assert run.record("flow.summary")["failed_phase"] == "P40"
    assert run.record("flow.summary")["error"]["message"].startswith("pod3: ")
    assert {run_id: _starts(fleet, run_id) for run_id in ROWS} == dict.fromkeys(ROWS, 1)
    of_gone = run.record("pods/pod2/phase.P80.evidence")
    assert of_gone["phase_status"] == "skip", of_gone["error"]
    assert of_gone["facts"]["skip_reason"].startswith("pod2 is gone: ")
    assert [one["ok"] for one in run.record("flow.summary")["members"]] == [True, True, False]


@pytest.mark.long
@pytest.mark.parametrize("is_silent", [False, True], ids=["refuses", "silent"])
def test_rows_of_a_lost_pod_wait_until_it_is_declared_gone(fleet: Fleet, is_silent: bool) -> None:
    run = fleet.lose_pod2_in_mid_row()
    if is_silent:
        fleet.pods[1].net.drop()
    (fleet.base / "r0.gate").touch()
    run.wait()
    assert run.code == 1, run.output
    assert {**_states(run), "r1": ""} == {  # r1 may have been seen to end before
        run_id: "" if i == 1 else "unknown" if i % 2 else "failed" if i == 2 else "success"
        for i, run_id in enumerate(ROWS)
    }
    assert run.record("fleet")["assignment"]["r11"] == ["pod2", 1]
    assert not fleet.on(1, "r11").exists()
    assert run.record("pods/pod1/phase.P80.verdict")["phase_pass"], run.output
    here = {path.parent.name for path in run.root.glob("reports/runs/*/summary.json")}
    assert here == set(ROWS[::2])
    # left out, or waited in vain for the rest of POD_WAIT_MAX_SECS
    if (run.folder / "pods/pod2/phase.P80.verdict.json").exists():
        assert not run.record("pods/pod2/phase.P80.verdict")["phase_pass"]
        assert run.record("pods/pod2/phase.P80.evidence")["error"].startswith("pod lost")
    assert run.record("flow.summary")["failed_phase"] == "P40"
    assert run.record("phase.P70.verdict")["phase_pass"] is False
    for member in ("pod1", "pod2"):
        kept = run.record(f"pods/{member}/phase.P90.evidence")
        assert kept["facts"]["deleted"] is False and kept["flow_status"].startswith("halted by P70")
    assert verify_flow(run.folder).ok
    waiting = fleet.project.flow(*RESUME)
    assert {_states(waiting)[run_id] for run_id in ROWS[3::2]} == {"unknown"}, waiting.output
    assert fleet.project.wf("pod-forget", "pod2").returncode == 0
    (fleet.base / "r3.gate").touch()
    _all_ended_on_pod1(fleet, fleet.project.flow(*RESUME))
    again = {"r2"}  # it failed, and is trained again by each resume
    assert [i for i in ROWS if _starts(fleet, i) != 1] == sorted(again)
