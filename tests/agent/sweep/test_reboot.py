"""A pod that restarts in the middle of a sweep: a pid namespace with a boot id of its own."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from tests.support.sweep_pod import make_row, ready_pod
from tests.support.waiting import until

_BOOT = (
    "mount --bind {boot_id} /proc/sys/kernel/random/boot_id && touch {up} && exec sleep infinity"
)
_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def has_namespaces() -> bool:
    """Whether this machine lets a test make pid and mount namespaces."""
    done = subprocess.run([*_UNSHARE, "true"], capture_output=True)
    return done.returncode == 0


class Machine:
    """A pod that boots, and that loses all its processes when it is rebooted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._host: subprocess.Popen[bytes] | None = None
        self._init = 0

    def boot(self) -> None:
        """Start it, under a new boot id."""
        boot_id, up = self._folder / "boot_id", self._folder / "up"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        up.unlink(missing_ok=True)
        script = _BOOT.format(boot_id=boot_id, up=up)
        self._host = subprocess.Popen(
            [*_UNSHARE, "--propagation", "private", "sh", "-c", script], start_new_session=True
        )
        until(up.exists, "the machine has booted")
        children = Path(f"/proc/{self._host.pid}/task/{self._host.pid}/children").read_text()
        self._init = int(children.split()[0])

    def halt(self) -> None:
        """Take its power away."""
        if self._host is not None:
            self._host.kill()
            self._host.wait()

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` on it."""
        return ["nsenter", "-t", str(self._init), "-m", "-p", "--", *argv]


class InsideConnection(LocalConnection):
    """The local connection, led into a machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(Target("local", "local"))
        self._machine = machine

    def run(self, argv: Sequence[str], **options: Any) -> Any:
        """As of the local connection."""
        return super().run(self._machine.inside(argv), **options)

    def start(self, argv: Sequence[str]) -> Any:
        """As of the local connection."""
        return super().start(self._machine.inside(argv))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine that has booted."""
    folder = tmp_path / "machine"
    folder.mkdir()
    made = Machine(folder)
    made.boot()
    yield made
    made.halt()


@pytest.mark.fault("P1")
@pytest.mark.skipif(not has_namespaces(), reason="this machine allows no pid namespaces")
def test_after_a_reboot_the_sweep_ends_and_no_row_ran_twice_without_a_recorded_attempt(
    machine: Machine, sweep_values: dict[str, str]
) -> None:
    pod = ready_pod(AgentClient(InsideConnection(machine), sweep_values), sweep_values)
    pod.trainer(
        "with open(outputs / 'begun', 'a') as f: f.write(os.environ['RUN_ID'] + '\\n')\n"
        "print('up', flush=True)\n"
        "while os.environ['RUN_ID'] != 'a' and not (outputs / 'go').exists(): time.sleep(0.02)\n"
    )
    pod.start(make_row("a"), make_row("b"), make_row("c"))
    until(lambda: pod.rows()["b"]["state"] == "running", "row b is at work")
    pod.wait_for_file("b/attempts/1/stdout.log")
    until(lambda: "up" in (pod.outputs / "b/attempts/1/stdout.log").read_text(), "b is up")
    machine.halt()
    pod.client.close()
    machine.boot()
    pod.client = AgentClient(InsideConnection(machine), sweep_values)
    status = pod.status()
    assert (status["supervisor"], status["state"]) == ("gone", fsm.SWEEP_STALLED)
    assert [row["state"] for row in status["rows"]] == ["success", "lost", "pending"]
    assert (status["ok"], status["failed"], status["in_progress"]) == (1, 0, 1)
    pod.take_lease(flow_id="f-after")
    (pod.outputs / "go").touch()
    assert pod.resume()["to_run"] == ["b", "c"]
    status = pod.ended()
    assert (status["ok"], status["state"]) == (3, fsm.SWEEP_COMPLETED)
    assert [row["attempts"] for row in status["rows"]] == [1, 2, 1]
    assert (pod.outputs / "begun").read_text().split() == ["a", "b", "b", "c"]
    first = pod.read("b/attempts/1/result.json")
    assert (first["failure_class"], first["reason"]) == (
        "preempted",
        "the pod was restarted",
    )
    pod.client.close()
