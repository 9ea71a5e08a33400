"""A real OpenSSH server on 127.0.0.1."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from pytest_wf.loopback.sshd import SshdPod
from pytest_wf.pods.ssh.connection import SshConnection
from tests.support.waiting import until


def works(connection: SshConnection) -> bool:
    """Whether a command runs over `connection`, which is closed."""
    with closing(connection):
        return connection.run(["echo", "hello"], timeout_s=30).stdout == "hello\n"


class Sshd(SshdPod):
    """A real OpenSSH server on a free port of 127.0.0.1, with keys of its own.

    Logins are for the user who runs the tests, in that user's home, with `identity_file`.
    """

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.identity_file = folder / "id"
        self.known_hosts_file = folder / "known_hosts"
        _keygen(self.identity_file)
        super().__init__(folder, [(folder / "id.pub").read_text().strip()], settings)
        self.environment = ""
        self.start()

    @property
    def host_key_fingerprint(self) -> str:
        """`SHA256:…` of the host's key."""
        return _fingerprint(self.folder / "host_key.pub")

    @property
    def host_key(self) -> str:
        """Type and base64 of the host's public key."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def new_host_key(self, kind: str = "ed25519") -> None:
        """Give the host another key and note it in `known_hosts_file`; for the next start."""
        for name in ("host_key", "host_key.pub"):
            (self.folder / name).unlink(missing_ok=True)
        _keygen(self.folder / "host_key", kind)
        self.known_hosts_file.write_text(f"[{self.host}]:{self.port} {self.host_key}\n")

    def start(self) -> None:
        """Start the server and wait until it listens."""
        self.boot(0)
        until(self._listens, f"sshd listens; its log:\n{self.log()}")

    def stop(self) -> None:
        """End the server; sessions that it has go on, as they do with a real one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Stop and start it, on the same port."""
        self.stop()
        self.start()

    def log(self) -> str:
        """What the server said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def sessions(self) -> list[int]:
        """Process ids of the connections that are being served."""
        assert self._process is not None
        return children_of(self._process.pid)

    def cut_sessions(self, sessions: Sequence[int] | None = None) -> None:
        """Kill the processes that serve connections; server and commands go on.

        These are the `sessions` that a server had which is stopped now.
        """
        for pid in self.sessions() if sessions is None else sessions:
            for part in [*children_of(pid), pid]:
                if _name(part).startswith("sshd"):
                    with suppress(ProcessLookupError):
                        os.kill(part, signal.SIGKILL)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with closing(socket.socket()) as sock:
            return sock.connect_ex((self.host, self.port)) == 0


def _keygen(path: Path, kind: str = "ed25519") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)


def _fingerprint(public: Path) -> str:
    shown = subprocess.run(["ssh-keygen", "-lf", str(public)], check=True, capture_output=True)
    return shown.stdout.decode().split()[1]


def children_of(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
