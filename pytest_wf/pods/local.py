"""The embedded pod: this machine, reached without a network."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_wf.errors import LinkLost
from pytest_wf.pods.base import Completed, Provider, Target
from pytest_wf.pods.streams import CHUNK_BYTES, PipedStream, check_argv, run_to_end
from pytest_wf.wire import user

if TYPE_CHECKING:
    from pytest_wf.config.keys import Config

#: What a login on this machine would have: the user and the home, the language, the GPUs. All else
#: is left out: pytest, coverage and the controller's virtual environment set variables (PYTHONPATH,
#: VIRTUAL_ENV, COV_*, PYTEST_*) that would change how the pod's Python runs, and a run must not get
#: the controller's secrets.
_KEPT = frozenset(
    {
        *("HOME", "USER", "LOGNAME", "PATH", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        "CUDA_VISIBLE_DEVICES",
        # how this machine reaches the network, so that git, pip and apt work as for its user
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("GIT_SSL_CAINFO", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    }
)
_KEPT_PREFIXES = ("LC_", "PIP_")

#: Time that a process has to end by itself once its pipes are closed, and after SIGTERM.
_FAREWELL_S = (2.0, 1.0)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that a command on the local pod gets."""
    return {
        name: value
        for name, value in environ.items()
        if name.upper() in _KEPT or name.startswith(_KEPT_PREFIXES)
    }


class LocalProvider(Provider):
    """Resolves `OPS_DEFAULT_HOST=local` to this machine."""

    name = "local"

    def resolve(self, config: Config) -> Target | None:
        """The local pod, if the config names it and no other target."""
        return Target(transport=self.name, name="local") if config.is_local else None

    def connect(
        self, target: Target, config: Config, project_dir: str, *, read_only: bool = False
    ) -> LocalConnection:
        """A connection to this machine; nothing is opened."""
        return LocalConnection(target)


class LocalConnection:
    """Commands on this machine, each in a session of its own.

    A session of its own keeps Ctrl-C in the controller's terminal from reaching the pod's
    processes. Commands start in the home directory, as they do over SSH.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._closed = False
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_LocalPipes] = weakref.WeakSet()

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float,
        max_bytes: int = 4 * 1024 * 1024,
    ) -> Completed:
        """Run `argv` to its end; its whole process group is killed on time-out or interruption.

        Raises TimeoutError, LinkLost (after `close`).
        """
        end = time.monotonic() + timeout_s
        pipes = self._spawn(argv)
        try:
            return run_to_end(pipes, argv, stdin=stdin, end=end, max_bytes=max_bytes)
        finally:
            pipes.kill()

    def start(self, argv: Sequence[str]) -> PipedStream:
        """Start `argv` and return its streams. Raises LinkLost (after `close`)."""
        return PipedStream(self._spawn(argv))

    def is_alive(self) -> bool:
        """Whether it has not been closed."""
        return not self._closed

    def facts(self) -> dict[str, str]:
        """The machine and the user."""
        return {"address": "local", "host": socket.gethostname(), "user": user.name()}

    def close(self) -> None:
        """Give up what was started here. May be repeated."""
        with self._lock:
            self._closed = True
            left = list(self._open)
        for pipes in left:
            pipes.close()

    def _spawn(self, argv: Sequence[str]) -> _LocalPipes:
        argv = check_argv(argv)
        environ = clean_environment(os.environ)
        home = environ.get("HOME", "/")
        with self._lock:
            if self._closed:
                raise LinkLost("The connection to the local pod is closed.")
            # a constant script: a missing program gives 127 or 126, as over SSH
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'exec "$@"', "sh", *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=home if Path(home).is_dir() else "/",
                env=environ,
                start_new_session=True,
            )
            pipes = _LocalPipes(process, f"'{argv[0]}' on the local pod")
            self._open.add(pipes)
        return pipes


class _LocalPipes:
    """The pipes of a child process; none of them ever blocks."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self.name = name
        self._process = process
        # takes no descriptor of its own, as epoll does: a flow may have many pods
        self._selector = selectors.PollSelector()
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        for pipe in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._selector.register(self._stderr, selectors.EVENT_READ)

    def exchange(self, data: memoryview, wait_s: float) -> tuple[int, bytes, bytes]:
        """Send and receive what is possible, after at most `wait_s` seconds."""
        sending = bool(data) and self.accepts_input()
        if sending:
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        elif not self._selector.get_map():
            return 0, b"", b""
        ready = [key.fileobj for key, _ in self._selector.select(wait_s)]
        if sending:
            self._selector.unregister(self._stdin)
        sent = self._send(data) if self._stdin in ready else 0
        out = self._take(self._stdout) if self._stdout in ready else b""
        err = self._take(self._stderr) if self._stderr in ready else b""
        return sent, out, err

    def accepts_input(self) -> bool:
        """Whether stdin is open."""
        return not self._stdin.closed

    def close_input(self) -> None:
        """Close stdin."""
        self._stdin.close()

    def ended(self) -> bool:
        """Whether stdout and stderr are at their end."""
        return not self._selector.get_map()

    def exited(self, wait_s: float) -> bool:
        """Whether the process is over."""
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def status(self) -> int | None:
        """The exit status; 128 + n for a process that signal n killed, as in shells."""
        status = self._process.returncode
        return 128 - status if status is not None and status < 0 else status

    def close(self) -> None:
        """Close the pipes; a process that does not end by that is ended."""
        self._close_pipes()
        if self.exited(_FAREWELL_S[0]):
            return
        self._signal(signal.SIGTERM)
        if not self.exited(_FAREWELL_S[1]):
            self.kill()

    def kill(self) -> None:
        """Kill what is left of the process group and close the pipes."""
        if self._process.returncode is None or not self.ended():
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._close_pipes()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except OSError:
            pass  # the group is gone

    def _close_pipes(self) -> None:
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()
        self._selector.close()

    def _send(self, data: memoryview) -> int:
        try:
            return os.write(self._stdin.fileno(), data[:CHUNK_BYTES])
        except BlockingIOError:
            return 0
        except OSError:
            self.close_input()
            return 0

    def _take(self, pipe: IO[bytes]) -> bytes:
        try:
            piece = os.read(pipe.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return b""
        if not piece:
            self._selector.unregister(pipe)
        return piece
