"""A machine that boots and loses its power: a pid namespace with a boot id of its own."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_wf.agent import process
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from tests.support.sshd import Sshd, children_of
from tests.support.waiting import until

_BOOT = (
    "mount --bind {boot_id} /proc/sys/kernel/random/boot_id && touch {up} && exec sleep infinity"
)
_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def why_not() -> str:
    """Why no test can make pid and mount namespaces on this machine; '' where it can."""
    done = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True)
    return f"no namespaces: {done.stderr.strip()}" if done.returncode else ""


class Machine:
    """A pod that boots, and that loses all its processes when it is rebooted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._host: subprocess.Popen[bytes] | None = None
        #: Process id of its first process, and what else it is known by.
        self.init = 0
        self._first: process.Identity = {}

    def boot(self, *, same_id: bool = False) -> None:
        """Start it, under a new boot id; under the same one, as a container that is restarted."""
        boot_id, up = self._folder / "boot_id", self._folder / "up"
        if not same_id:
            boot_id.write_text(f"{uuid.uuid4()}\n")
        up.unlink(missing_ok=True)
        script = _BOOT.format(boot_id=boot_id, up=up)
        self._host = subprocess.Popen(
            [*_UNSHARE, "--propagation", "private", "sh", "-c", script], start_new_session=True
        )
        until(up.exists, "the machine has booted")
        children = Path(f"/proc/{self._host.pid}/task/{self._host.pid}/children").read_text()
        self.init = int(children.split()[0])
        self._first = process.identity(self.init)

    def halt(self) -> None:
        """Take its power away, and wait until none of its processes is left."""
        if self._host is not None:
            self._host.kill()
            self._host.wait()
            if self._first:  # the kernel ends it after all others
                until(lambda: not process.is_alive(self._first), "its processes are gone")

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` on it."""
        return ["nsenter", "-t", str(self.init), "-m", "-p", "--", *argv]


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


class SshMachine(Sshd):
    """A machine of its own with an SSH server, which goes and comes with its power."""

    def __init__(self, folder: Path) -> None:
        (folder / "machine").mkdir(parents=True)
        self._machine = Machine(folder / "machine")
        try:
            self._boot()
            super().__init__(folder)
        except BaseException:
            self._machine.halt()
            raise

    def power_on(self) -> None:
        """Boot it, and start its SSH server."""
        self._boot()
        self.start()

    def power_off(self) -> None:
        """Take its power away: its processes and connections are gone."""
        self._machine.halt()
        self.stop()

    def sessions(self) -> list[int]:
        """As of any server; here it is the child of what has entered the machine."""
        assert self._process is not None
        servers = children_of(self._process.pid)
        return [session for server in servers for session in children_of(server)]

    def _boot(self) -> None:
        self._machine.boot()
        self.inside = self._machine.inside([])
