"""A TCP link that can be cut, silenced, or silenced in one direction."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_RESET = struct.pack("ii", 1, 0)


class Link:
    """Forwards connections to a free port of 127.0.0.1 on to `port`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._flows = {True: threading.Event(), False: threading.Event()}
        for flows in self._flows.values():
            flows.set()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection."""
        for sock in self._taken():
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def silence(self, *directions: bool) -> None:
        """Pass nothing on any more to the server (True), from it (False), or both."""
        for to_server in directions:
            self._flows[to_server].clear()

    def mend(self) -> None:
        """Pass on again what comes, and what was held back."""
        for flows in self._flows.values():
            flows.set()

    def close(self) -> None:
        """End it, with all its connections."""
        self._listener.close()
        self.mend()
        self.cut()

    def _taken(self) -> list[socket.socket]:
        taken, self._open = self._open, []
        return taken

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._open += [client, server]
            for to_server, ends in ((True, (client, server)), (False, (server, client))):
                threading.Thread(target=self._pump, args=(to_server, *ends), daemon=True).start()

    def _pump(self, to_server: bool, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while piece := source.recv(1 << 16):
                self._flows[to_server].wait()
                to.sendall(piece)
        for sock in (source, to):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
