"""Flows on three pods that are cut in each of their phases, and the flow that ends the sweep."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_wf.evidence.verify import verify_flow
from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.environment import is_worked_on
from tests.support.flow_project import FlowRun, Project
from tests.support.waiting import until

pytestmark = pytest.mark.slow

ALL = ("--wf-wait=true", "--wf-fetch=all")
PODS = ("pod1", "pod2", "pod3")
ROWS = ("r0", "r1", "r2")

#: Holds the operation of one phase until the file `go` is there: in the pods' threads, or, for a
#: phase that runs once, in the main thread.
_HOLD = """
import os, threading, time
from pytest_wf.flow.fleet import fleet, fleet_sweep, member
from pytest_wf.flow.operations import sweep

def hold():
    name = threading.current_thread().name
    open(os.path.join({base!r}, "at", name), "w").close()
    while not os.path.exists(os.path.join({base!r}, "go")):
        time.sleep(0.01)

def held(owner, verb, is_after=False):
    own = getattr(owner, verb)
    def operation(*args, **more):
        if not is_after:
            hold()
        result = own(*args, **more)
        if is_after:
            hold()
        return result
    setattr(owner, verb, operation)

{held}
"""
_HELD = {
    "P00": "held(fleet._Common, 'precheck')",
    "P10": "held(fleet._Common, 'provision')",
    "P20": "held(fleet._Common, 'bind')",
    "P30": "held(member.Member, '_ready_here')",
    # the body, too, before it waits for its pod
    "P30-begun": """
held(member.Member, '_ready_here')
begin = member.Peers.run_on_all
def run_on_all(peers, verb, code):
    begin(peers, verb, code)
    if verb == 'ready':
        hold()
member.Peers.run_on_all = run_on_all
""",
    "P60": "held(member.Peers, 'await_frozen')",
    "P60-launched": "held(sweep, 'launch_shard', is_after=True)",
    "P70": "held(fleet_sweep.FleetSweep, 'follow')",  # and the rows wait, too
    "P80": "held(member.Member, '_fetch_here')",
    "P90": "held(member.Member, '_teardown_here')",
    "P99": "held(fleet._Common, 'summarise')",
}
_ONCE = ("P00", "P10", "P20", "P70", "P99")
#: P40 and P50 are held on the pods.
PHASES = tuple(sorted((*_HELD, "P40", "P50")))
CUTS = {
    "ctrl-c": signal.SIGINT,
    "terminated": signal.SIGTERM,
    "killed": signal.SIGKILL,
    "timed-out": signal.SIGALRM,  # what pytest-timeout sends to itself
}
#: Those that are run each time.
_SHORT = (("P40", "killed"), ("P60", "ctrl-c"))


class Held(NamedTuple):
    """A project whose flow waits in one phase until it may go on."""

    base: Path
    phase: str
    project: Project

    @property
    def script(self) -> Path:
        """The script that P40 or P50 runs on each pod."""
        return self.base / "script.sh"

    def has_come(self) -> bool:
        """Whether the flow is in the phase, with all pods if it runs on all."""
        if self.phase == "P70":
            outputs = (self.project.root / ".wf/pod").glob("*/outputs/*/out/argv.json")
            if len(list(outputs)) < len(PODS):
                return False
        awaited = 1 if self.phase in _ONCE else len(PODS) + self.phase.endswith("begun")
        return len(list((self.base / "at").iterdir())) == awaited

    def go(self) -> None:
        """Let everything go on."""
        (self.base / "go").touch()

    def running(self) -> list[int]:
        """Process ids of the scripts that run on the pods."""
        pids = [int(at.name) for at in (self.base / "at").iterdir() if at.name.isdecimal()]
        return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # empty if it has ended
    except OSError:
        return False


@pytest.fixture
def held(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Held]:
    """A project of three rows on three local pods, held in the phase of the case."""
    phase = request.param
    (tmp_path / "project").mkdir()
    (tmp_path / "at").mkdir()
    script = tmp_path / "script.sh"
    script.write_text(
        f"touch {tmp_path}/at/$$\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.05; done\n"
    )
    more = {
        "P40": {"BOOTSTRAP_SCRIPT": f"{script}"},
        "P50": {"CHECKOUT_POST_CMD": f"'sh {script}'"},
    }
    waits = f"wait_for={tmp_path}/go" if phase == "P70" else ""
    root = write_project(
        tmp_path / "project",
        rows=[f"{run_id},default.py,{i},{waits}," for i, run_id in enumerate(ROWS)],
        config={"WF_PODS": "3", **more.get(phase, {})},
    )
    code = _HOLD.format(base=str(tmp_path), held=_HELD.get(phase, ""))
    (root / "conftest.py").write_text(code)
    project = Project(root, environment.clean_environ(tmp_path / "home"))
    yield Held(tmp_path, phase, project)
    (tmp_path / "go").touch()
    for run in project.runs:
        if run.process.poll() is None:
            run.kill()


def _cases() -> list[object]:
    return [
        pytest.param(phase, cut, marks=() if (phase, cut) in _SHORT else pytest.mark.long)
        for phase in PHASES
        for cut in CUTS
    ]


@pytest.mark.parametrize(("held", "cut"), _cases(), indirect=["held"])
def test_a_cut_leaves_no_operation_behind_and_a_further_flow_ends_the_sweep(
    held: Held, cut: str
) -> None:
    run = held.project.start(*ALL, "--timeout=600")
    until(lambda: held.has_come() or run.process.poll() is not None, f"{held.phase} is under way")
    assert run.process.poll() is None, run.wait().output
    os.kill(run.process.pid, CUTS[cut])
    if cut == "timed-out":
        _the_others_go_on(held)
    run.wait()
    left = held.running()
    if cut != "killed":
        assert not left, "no script runs on"
        _ended_well(held, run, 1 if cut == "timed-out" else 2)
    again = held.project.start(f"--wf-sweep={'resume' if held.phase >= 'P60' else 'start'}", *ALL)
    if left:  # a killed flow cannot end what it began: the next flow does
        until(lambda: not any(_runs(pid) for pid in left), "the scripts have ended")
    held.go()
    resumed = again.wait()
    assert resumed.code == 0, resumed.output
    _ended_well(held, resumed, 0)
    summary = resumed.record("flow.summary")
    assert {row["run_id"]: row["attempts"] for row in summary["rows"]} == dict.fromkeys(ROWS, 1)
    pods = held.project.root / ".wf/pod"
    for run_id in ROWS:
        starts = [path.read_text() for path in pods.glob(f"*/outputs/{run_id}/out/argv.json")]
        assert len("".join(starts).splitlines()) == 1, run_id
    until(lambda: not is_worked_on(held.script, pods), "nothing works on the pods any more")


def _the_others_go_on(held: Held) -> None:
    """The time is up for one pod, which ends its operation; those of the other pods may end."""
    if held.phase in ("P40", "P50"):
        until(lambda: len(held.running()) == len(PODS) - 1, "the pod's script has ended")
    held.go()


def _ended_well(held: Held, run: FlowRun, code: int) -> None:
    assert run.code == code, run.output
    for name in PODS:
        verdict = run.record(f"pods/{name}/phase.P90.verdict")
        assert verdict["phase_pass"] is True or held.phase == "P90"
        with suppress(FileNotFoundError):
            assert run.record(f"pods/{name}/phase.P90.evidence")["facts"].get("deleted") is not True
    assert run.record("phase.P99.verdict")["phase_pass"] is True or held.phase == "P99"
    result = verify_flow(run.folder)
    assert result.ok, result.findings
