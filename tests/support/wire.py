"""A TCP proxy that can be cut, become silent, and be mended."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_RESET = struct.pack("ii", 1, 0)


class Wire:
    """A TCP proxy to a port of this machine: counts its bytes, and can be cut.

    While it is silent, connections are accepted and bytes are held back, as in a black hole; while
    it `refuses`, connections that are made are closed at once.
    """

    def __init__(self, port: int) -> None:
        #: The port that new connections lead to.
        self.to = port
        self.refuses = False
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: Bytes that went to the server, over all connections, and that came back.
        self.up = 0
        self.down = 0
        self.connections = 0
        #: So many bytes more come back before the connection is cut; None for no end.
        self._left: int | None = None
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        #: Whether bytes pass to the server, and whether they come back.
        self._up_passes, self._down_passes = threading.Event(), threading.Event()
        self._pass()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut_after(self, count: int | None) -> None:
        """Cut the wire when so many more bytes have come back."""
        with self._lock:
            self._left = count

    def cut(self, *, is_reset: bool = False) -> None:
        """Cut all connections that there are: what was sent arrives, except after a reset."""
        with self._lock:
            left, self._open = self._open, []
        for sock in left:
            with suppress(OSError):
                if is_reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def kill(self) -> None:
        """Cut all connections, and refuse new ones."""
        self.refuses = True
        self.cut()

    def silence(self, *, up: bool = True, down: bool = True) -> None:
        """Hold back what goes to the server, what comes back, or both."""
        if up:
            self._up_passes.clear()
        if down:
            self._down_passes.clear()

    def mend(self) -> None:
        """Let everything through again, and what was held back."""
        self.refuses = False
        self._pass()

    def close(self) -> None:
        """End the proxy and whatever goes over it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._pass()
        self._accepting.join(5)

    def _pass(self) -> None:
        self._up_passes.set()
        self._down_passes.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuses:
                self.refused += 1
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:  # nobody listens there, for the moment
                client.close()
                continue
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            with self._lock:
                self._open += [client, server]
            for pump in (self._up, self._down):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with _both_ended(client, server):
            while data := client.recv(1 << 16):
                with self._lock:
                    self.up += len(data)
                self._up_passes.wait()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with _both_ended(client, server):
            while data := server.recv(1 << 18):
                with self._lock:
                    if self._left is not None:
                        data = data[: self._left]
                        self._left -= len(data)
                    is_cut = self._left == 0
                    self.down += len(data)
                self._down_passes.wait()
                client.sendall(data)
                if is_cut:
                    self.cut_after(None)
                    self.cut()
                    return
            client.shutdown(socket.SHUT_WR)


@contextmanager
def _both_ended(*ends: socket.socket) -> Iterator[None]:
    """End the other end of a connection too where one of them fails."""
    try:
        yield
    except OSError:
        for sock in ends:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
