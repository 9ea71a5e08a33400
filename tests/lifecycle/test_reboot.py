"""A pod that reboots in the middle of a phase: the next flow on it ends well."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine import SshMachine, why_not
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.slow,
]

ALL = ("--wf-wait=true", "--wf-fetch=all")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[SshMachine]:
    """The pod."""
    folder = tmp_path / "machine"
    folder.mkdir()
    made = SshMachine(folder)
    yield made
    made.power_off()


def test_a_machine_whose_sessions_are_cut_takes_further_ones(
    sshd: SshMachine, tmp_path: Path
) -> None:
    told = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    ssh = ["ssh", *told, "-i", str(sshd.identity_file), "-p", str(sshd.port)]
    login = [*ssh, f"{sshd.user}@{sshd.host}"]
    begun = tmp_path / "begun"
    with subprocess.Popen([*login, f"touch {begun}; sleep 60"]) as session:
        until(begun.exists, "a session is open")
        sshd.cut_sessions()
    assert session.returncode == 255
    assert subprocess.run([*login, "true"], timeout=100).returncode == 0


def _waiting(gate: Path) -> str:
    """A command that shows that it runs, and waits until it may end."""
    return f"touch {gate}.begun; while [ ! -e {gate} ]; do sleep 0.05; done"


@pytest.mark.fault("P1")
@pytest.mark.parametrize(
    "phase",
    ["P80", *(pytest.param(code, marks=pytest.mark.long) for code in ("P40", "P50", "P70"))],
)
def test_after_a_reboot_in_any_phase_the_next_flow_ends_well(
    new_project: Callable[..., Any],
    over_ssh: Callable[..., Any],
    sshd: SshMachine,
    tmp_path: Path,
    phase: str,
) -> None:
    gate = tmp_path / "gate"
    begun = tmp_path / "gate.begun"
    waits = f"wait_for={gate}" if phase == "P70" else ""
    project = over_ssh(new_project(rows=("one,default.py,1,,", f"two,default.py,2,{waits},")))
    project.configure(POD_WAIT_MAX_SECS="100")
    if phase == "P40":
        (tmp_path / "b.sh").write_text(_waiting(gate))
        project.configure(BOOTSTRAP_SCRIPT=str(tmp_path / "b.sh"))
    elif phase == "P50":
        project.configure(CHECKOUT_POST_CMD=f"'{_waiting(gate)}'")
    elif phase == "P70":
        begun = project.outputs / "two" / "out" / "argv.json"
    else:
        project.phase(
            "P75",
            f"import time\nopen({str(begun)!r}, 'w').close()\n"
            f"while not __import__('os').path.exists({str(gate)!r}): time.sleep(0.05)",
        )
    run = project.start(*ALL)
    until(lambda: begun.exists() or run.process.poll() is not None, f"{phase} is under way")
    sshd.power_off()
    gate.touch()
    sshd.power_on()
    run.wait()
    assert (run.code == 0) == (phase == "P80"), run.output
    assert run.record("phase.P99.verdict")["phase_pass"] is True
    if phase == "P80":
        return
    assert run.record("flow.summary")["failed_phase"] == phase
    again = project.flow(f"--wf-sweep={'resume' if phase == 'P70' else 'start'}", *ALL)
    assert again.code == 0, again.output
    for run_id in ("one", "two"):
        starts = (project.outputs / run_id / "out" / "argv.json").read_text().splitlines()
        assert len(starts) == (2 if (phase, run_id) == ("P70", "two") else 1)
