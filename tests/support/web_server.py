"""HTTP servers on 127.0.0.1."""

from __future__ import annotations

import base64
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve with `handler` on a free port; gives `host:port`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves the files of `directory` and logs nothing."""

    def log_message(self, *args: Any) -> None:
        pass


class _Private(QuietFiles):
    def do_GET(self) -> None:
        known = "Basic " + base64.b64encode(b"ada:s3cret-token").decode()
        if self.headers.get("Authorization") == known:
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="private"')
        self.send_header("Content-Length", "0")
        self.end_headers()


def files_of(folder: Path) -> Callable[..., BaseHTTPRequestHandler]:
    """Serves the files of `folder` to everyone."""
    return functools.partial(QuietFiles, directory=str(folder))


def private_repository(git_dir: Path) -> Callable[..., BaseHTTPRequestHandler]:
    """Serves a git repository to `ada:s3cret-token` alone, by git's plain protocol of files."""
    return functools.partial(_Private, directory=str(git_dir))
