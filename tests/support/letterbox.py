"""A service on 127.0.0.1 that Apprise's json:// posts to. Handed out by the fixture `letterbox`."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, TOKEN, PATH = "courier", "tok-9f8e7d6c5b4a", "hook-3c2b1a0f9e8d"


class Letterbox:
    """Takes messages and keeps them; while it is `shut`, it takes them and never answers."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._may_answer = threading.Event()
        self._may_answer.set()
        box = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                message = json.loads(self.rfile.read(size))
                box._may_answer.wait()
                box.messages.append({**message, "path": self.path})
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                """Whoever waited has left."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where messages go; everything in it but the host is a secret."""
        return self.url_of("")

    def url_of(self, place: str) -> str:
        """The same for a place of its own; Apprise waits longer than it usually does."""
        waits = "?cto=60&rto=60"
        return f"json://{USER}:{TOKEN}@127.0.0.1:{self.port}/{PATH}{place}{waits}"

    @property
    def titles(self) -> list[str]:
        """Titles of the messages that came."""
        return [message["title"] for message in self.messages]

    def shut(self) -> None:
        """Answer nobody from now on."""
        self._may_answer.clear()

    def close(self) -> None:
        """End the service."""
        self._may_answer.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
