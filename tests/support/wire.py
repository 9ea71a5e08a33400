"""A TCP proxy that can be cut, become silent, and be mended."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Wire:
    """A TCP proxy to a port of this machine: counts its bytes, and can be cut.

    While it `is_silent`, connections are accepted and all bytes are dropped, as in a black hole;
    while it `refuses`, connections that are made are closed at once. Both ways a byte that was
    dropped does not come later: a connection that met with it is not whole any more.
    """

    def __init__(self, port: int) -> None:
        #: The port that new connections lead to.
        self.to = port
        self.is_silent = False
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
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut_after(self, count: int | None) -> None:
        """Cut the wire when so many more bytes have come back."""
        with self._lock:
            self._left = count

    def kill(self) -> None:
        """Cut all connections, and refuse new ones."""
        self.refuses = True
        self.cut()

    def mend(self) -> None:
        """Let everything through again; a connection that is not whole any more is cut."""
        self.is_silent, self.refuses = False, False
        self.cut()

    def close(self) -> None:
        """End the proxy and whatever goes over it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._accepting.join(5)

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
        with suppress(OSError):
            while data := client.recv(1 << 16):
                with self._lock:
                    self.up += len(data)
                if not self.is_silent:
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
                if not self.is_silent:
                    client.sendall(data)
                if is_cut:
                    self.cut_after(None)
                    self.cut()
                    return
            client.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Cut all connections that there are."""
        with self._lock:
            left, self._open = self._open, []
        for sock in left:
            # what was sent arrives, and then the end
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
