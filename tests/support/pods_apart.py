"""Pods that share nothing: SSH servers with processes, mounts and an address of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import machine, network
from tests.support.machine import SshMachine
from tests.support.network import PodNetwork


def why_not() -> str:
    """What this machine lacks to make such pods; '' where it can."""
    return network.why_not() or machine.why_not()


class PodApart(SshMachine):
    """A machine in a network of its own, with a file system of its own at `disk`.

    Several may have the same `disk`: each sees its own there. It loses it with its power.
    """

    def __init__(self, folder: Path, net: PodNetwork, disk: Path) -> None:
        self.host = net.address
        self.net, self._disk = net, disk
        super().__init__(folder)

    def start(self) -> None:
        """As of any server; sessions have the home that is on its disk."""
        self.environment = f"HOME={self._disk}/home"
        super().start()

    def file(self, path: Path) -> Path:
        """A path on the pod, as it is seen from here."""
        return Path(f"/proc/{self._machine.init}/root{path}")

    def _boot(self) -> None:
        super()._boot()
        self.inside = [*self.net.inside, *self.inside]
        # its tmux servers listen on sockets of its own too
        for place in (self._disk, Path("/tmp/tmux-0")):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            mount = ["mount", "-t", "tmpfs", "-o", "mode=700", "none", str(place)]
            subprocess.run(self._machine.inside(mount), check=True)
        subprocess.run(self._machine.inside(["mkdir", f"{self._disk}/home"]), check=True)
