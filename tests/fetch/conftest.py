"""Pods to fetch from: behind a real SSH server, over a wire that can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.reader import load
from pytest_wf.pods.rpc.client import AgentClient, LinkLimits
from pytest_wf.pods.ssh.connection import SshConnection
from pytest_wf.pods.ssh.provider import SshProvider
from tests.support.run_on_pod import RunOnPod
from tests.support.sshd import Sshd


class Wire:
    """A TCP proxy to a port of this machine: counts what comes back, and can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: Bytes that came back from the server, over all connections.
        self.down = 0
        self.connections = 0
        #: So many bytes more come back before the connection is cut; None for no end.
        self._left: int | None = None
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut_after(self, count: int | None) -> None:
        """Cut the wire when so many more bytes have come back."""
        with self._lock:
            self._left = count

    def close(self) -> None:
        """End the proxy and whatever goes over it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()
        self._accepting.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            with self._lock:
                self._open += [client, server]
            for pump in (self._up, self._down):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 18):
                with self._lock:
                    if self._left is not None:
                        data = data[: self._left]
                        self._left -= len(data)
                    is_cut = self._left == 0
                    self.down += len(data)
                client.sendall(data)
                if is_cut:
                    self.cut_after(None)
                    self._cut()
                    return
            client.shutdown(socket.SHUT_WR)

    def _cut(self) -> None:
        with self._lock:
            left, self._open = self._open, []
        for sock in left:
            # what was sent arrives, and then the end
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class WiredPod:
    """A real agent behind a real SSH server at the other end of a wire."""

    def __init__(self, sshd: Sshd, root: Path) -> None:
        self.outputs = root / "outputs"
        self.outputs.mkdir(parents=True)
        self.wire = Wire(sshd.port)
        self._sshd = sshd
        self._root = root
        self._links: list[SshConnection] = []
        known = root / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.wire.port} {sshd.host_key}\n")
        text = (
            f"REPO_URL=.\nOPS_REMOTE_REPO={root}/repo\nOPS_REMOTE_OUTPUTS_DIR={self.outputs}\n"
            f"OPS_DEFAULT_HOST={sshd.user}@127.0.0.1:{self.wire.port}\n"
            f"SSH_KNOWN_HOSTS={known}\nSSH_IDENTITY_FILE={sshd.identity_file}\n"
            f"REMOTE_ENV_PATH={root}/project.env\n"
        )
        self._config = load(
            read_entries(text.encode(), "workflow.env"),
            project_dir=str(root),
            needs_csv=False,
            needs_target=False,
        )
        #: Called whenever the wire is connected anew.
        self.on_connect: Callable[[], None] = lambda: None
        self.client = AgentClient(
            self.connect(),
            self._config.values,
            reconnect=self.connect,
            limits=LinkLimits(reconnect_s=1),
        )

    def connect(self) -> SshConnection:
        """A new connection over the wire."""
        self.on_connect()
        provider = SshProvider(str(self._root))
        target = provider.resolve(self._config)
        assert target is not None
        self._links.append(provider.connect(target, self._config, str(self._root)))
        return self._links[-1]

    def close(self) -> None:
        """End what was started here."""
        self.client.close()
        for link in self._links:
            link.close()
        self.wire.close()


@pytest.fixture
def wired_pod(sshd: Sshd, client_home: Path, tmp_path: Path) -> Iterator[WiredPod]:
    """A pod behind a wire that can be cut."""
    pod = WiredPod(sshd, tmp_path / "pod")
    yield pod
    pod.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunOnPod]:
    """A run on a pod of this machine."""
    made = RunOnPod(tmp_path)
    yield made
    made.close()
