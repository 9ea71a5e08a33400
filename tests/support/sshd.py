"""A real OpenSSH server on 127.0.0.1."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path

from tests.support.waiting import until

SSHD = "/usr/sbin/sshd"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Sshd:
    """A real OpenSSH server on a free port of 127.0.0.1, with keys of its own.

    Logins are for the user who runs the tests, with `identity_file`. The server's settings
    keep bash from reading `.bashrc`, which may do anything on a developer's machine.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.folder = folder
        self.user = getpass.getuser()
        self.port = free_port()
        self.identity_file = folder / "id"
        self.known_hosts_file = folder / "known_hosts"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        _keygen(self.identity_file)
        (folder / "authorized_keys").write_bytes((folder / "id.pub").read_bytes())
        self.new_host_key()
        (folder / "config").write_text(
            f"ListenAddress {self.host}\nPort {self.port}\nHostKey {folder}/host_key\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nStrictModes no\n"
            "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nLogLevel VERBOSE\nUseDNS no\nPrintMotd no\n"
            f"SetEnv SHLVL=2\n{settings}\n"
        )
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
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.folder / "config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._listens, f"sshd listens; it said:\n{self.log()}")

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
        return self._log.read_text(errors="replace")

    def accepted(self) -> int:
        """How many logins it has accepted: the number of connections made."""
        return self.log().count("Accepted publickey")

    def sessions(self) -> list[int]:
        """Process ids of the connections that are being served."""
        assert self._process is not None
        return _children(self._process.pid)

    def cut_sessions(self) -> None:
        """Kill the processes that serve connections; server and commands go on."""
        for pid in self.sessions():
            for part in [*_children(pid), pid]:
                if _name(part).startswith("sshd"):
                    _kill(part)

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


def _children(pid: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
