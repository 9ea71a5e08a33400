"""Machines behind loopback pods: real OpenSSH servers, or addresses without a server."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from pytest_wf.wire import user

#: Where the kernel says which ports it gives to sockets that ask for any.
_KERNELS_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_PORT, _LAST_PORT = 10_000, 65_535
#: Ports that this process has given; none is given twice.
_given: set[int] = set()


def free_port() -> int:
    """A free port of 127.0.0.1, another one each time.

    It is below those that the kernel gives to sockets that ask for any, if these leave enough: some
    time passes until a server listens there.
    """
    try:
        last = int(_KERNELS_PORTS.read_text().split()[0]) - 1
    except OSError:
        last = 0
    if last < 2 * _FIRST_PORT:
        last = _LAST_PORT
    while True:
        port = random.SystemRandom().randint(_FIRST_PORT, last)
        with closing(socket.socket()) as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


class nowhere:  # noqa: N801 - a kind of machine, used as the function that makes one
    """A machine with an address at which no server listens."""

    def __init__(self, pod_id: str, keys: list[str]) -> None:  # noqa: ARG002
        self.user, self.host, self.port = "root", "127.0.0.1", free_port()

    def boot(self, delay_s: float) -> None:
        """Nothing begins to listen."""

    def reboot(self, *, new_port: bool) -> None:
        """Another port at which no server listens."""
        self.port = free_port() if new_port else self.port

    def end(self) -> None:
        """Nothing to end."""


class SshdPods:
    """Makes pods that are SSH servers of their own, each below `folder`.

    They accept the keys of the rent, for the user who runs them, and have a home of their own.
    Needs `sshd` and `ssh-keygen`.
    """

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.folder = folder
        self.settings = settings
        self.made: list[SshdPod] = []

    def __call__(self, pod_id: str, keys: list[str]) -> SshdPod:
        pod = SshdPod(self.folder / pod_id, keys, self.settings)
        self.made.append(pod)
        return pod


class SshdPod:
    """One SSH server on 127.0.0.1, with a host key, a home and a port of its own."""

    host = "127.0.0.1"
    #: The command prefix of its server, such as ``ip netns exec NAME``.
    inside: Sequence[str] = ()

    def __init__(self, folder: Path, keys: list[str], settings: str = "") -> None:
        self.user = user.name()
        self.port = free_port()
        self.folder = folder
        #: Variables that sessions get besides the user's own environment.
        self.environment = f"HOME={folder}/home"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ended = False
        (folder / "home").mkdir(parents=True)
        (folder / "authorized_keys").write_text("".join(key + "\n" for key in keys))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(parents=True, exist_ok=True)
        self.new_host_key()

    def new_host_key(self) -> None:
        """Give the machine another host key; for its next boot."""
        path = self.folder / "host_key"
        path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)

    def boot(self, delay_s: float) -> None:
        """Listen, after `delay_s`."""
        if delay_s <= 0:
            self._start()
            return
        timer = threading.Timer(delay_s, self._start)
        timer.daemon = True
        timer.start()

    def reboot(self, *, new_port: bool) -> None:
        """Stop with all sessions and listen again, with the same host key."""
        self._stop()
        if new_port:
            self.port = free_port()
        self._start()

    def end(self) -> None:
        """Stop for good, with all sessions."""
        self._ended = True
        self._stop()

    def accepted(self) -> int:
        """How many logins it has accepted."""
        log = self.folder / "log"
        return log.read_text(errors="replace").count("Accepted publickey") if log.exists() else 0

    def _start(self) -> None:
        with self._lock:
            if self._ended or self._process is not None:
                return
            folder = self.folder
            (folder / "config").write_text(
                f"ListenAddress {self.host}\nPort {self.port}\nHostKey {folder}/host_key\n"
                f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nStrictModes no\n"
                "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
                "PermitRootLogin prohibit-password\nLogLevel VERBOSE\nUseDNS no\nPrintMotd no\n"
                # SHLVL keeps bash from reading .bashrc, which may do anything
                f"SetEnv SHLVL=2 {self.environment}\n{self._settings}\n"
            )
            sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
            with (folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [*self.inside, sshd or "sshd", "-D", "-e", "-f", str(folder / "config")],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def _stop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            for pid in _descendants(process.pid):
                _kill(pid)
            process.kill()
            process.wait()


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    found = []
    for child in map(int, children):
        found += [*_descendants(child), child]
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
