"""Networks that lose packets: a network namespace, nftables and a narrow queue."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue

from tests.support.sshd import Sshd

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_TABLE = """
table inet wf {
    chain in { type filter hook input priority 0; }
    chain out { type filter hook output priority 0; }
}
"""


def why_not() -> str:
    """What this machine lacks to make a network; '' where it can."""
    for tool in ("ip", "nft", "tc"):
        if shutil.which(tool, path=_PATH) is None:
            return f"{tool} is not installed"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    name = f"wf-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "this machine allows no network namespaces"
    argv = ["ip", "netns", "exec", name, "nft", _TABLE]
    tried = subprocess.run(argv, capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name])
    if tried.returncode:
        # of the kernel, or of a chroot, where / is no mount point
        return f"no nftables in a network namespace: {tried.stderr.strip()}"
    return ""


class PodNetwork:
    """A network with one address, joined to this machine by a link of its own."""

    def __init__(self) -> None:
        number = random.SystemRandom().randrange(1 << 14)
        self._name = f"wf-{os.getpid()}-{number}"
        self._here = f"wf{number}"
        block = f"10.213.{number >> 6}"
        first = (number & 63) * 4
        self.address = f"{block}.{first + 2}"
        #: What a command is started with to run in this network.
        self.inside = ["ip", "netns", "exec", self._name]
        _ip("netns", "add", self._name)
        _ip("link", "add", self._here, "type", "veth", "peer", "name", "pod", "netns", self._name)
        _ip("addr", "add", f"{block}.{first + 1}/30", "dev", self._here)
        _ip("link", "set", self._here, "up")
        _ip("-n", self._name, "addr", "add", f"{self.address}/30", "dev", "pod")
        _ip("-n", self._name, "link", "set", "pod", "up")
        _ip("-n", self._name, "link", "set", "lo", "up")
        self._nft(_TABLE)

    def drop(self) -> None:
        """Drop every packet, both ways; nobody is told."""
        self._nft("add rule inet wf in drop; add rule inet wf out drop")

    def lose(self, percent: int) -> None:
        """Drop so many of a hundred packets, both ways."""
        dropping = f"numgen random mod 100 < {percent} drop"
        self._nft(f"add rule inet wf in {dropping}; add rule inet wf out {dropping}")

    def narrow(self, rate: str) -> None:
        """Let no more through than `rate`, such as `1mbit`, each way."""
        queue = ["root", "tbf", "rate", rate, "burst", "16kb", "latency", "400ms"]
        for prefix, device in ((self.inside, "pod"), ([], self._here)):
            subprocess.run([*prefix, "tc", "qdisc", "add", "dev", device, *queue], check=True)

    def restore(self) -> None:
        """Let every packet through again."""
        self._nft("flush table inet wf")

    def close(self) -> None:
        """Remove it."""
        _ip("netns", "del", self._name)
        subprocess.run(["ip", "link", "del", self._here], capture_output=True)

    def _nft(self, rules: str) -> None:
        subprocess.run([*self.inside, "nft", rules], check=True)


class NetworkSshd(Sshd):
    """An SSH server in a network of its own."""

    def __init__(self, folder: Path, network: PodNetwork) -> None:
        self.host = network.address
        self.inside = network.inside
        super().__init__(folder)


class Delay:
    """A TCP proxy on 127.0.0.1 that passes everything on, later."""

    def __init__(self, host: str, port: int, delay_s: float) -> None:
        self._to, self._delay_s = (host, port), delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no further connection, and end those that there are."""
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._to)
                self._open += [client, server]
                for source, sink in ((client, server), (server, client)):
                    queue: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
                    for work, sock in ((self._read, source), (self._write, sink)):
                        threading.Thread(target=work, args=(sock, queue), daemon=True).start()

    def _read(self, source: socket.socket, queue: SimpleQueue[tuple[float, bytes]]) -> None:
        data = b"more"
        while data:
            try:
                data = source.recv(1 << 16)
            except OSError:
                data = b""
            queue.put((time.monotonic() + self._delay_s, data))

    def _write(self, sink: socket.socket, queue: SimpleQueue[tuple[float, bytes]]) -> None:
        with suppress(OSError):
            while True:
                due, data = queue.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)


@contextmanager
def pod_network() -> Iterator[PodNetwork]:
    """A network that is removed at the end."""
    network = PodNetwork()
    try:
        yield network
    finally:
        network.close()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
