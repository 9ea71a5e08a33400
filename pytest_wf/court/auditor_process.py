"""Runs the configured auditor as a process of its own, and trusts little of it.

Anything but one valid JSON answer in time makes the verdict 'unverified'.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, ClassVar
from weakref import WeakSet

from pytest_wf.config.keys import Config
from pytest_wf.court.auditor_answer import ConstitutionalAnswer, NoAnswer, clean, read_answer
from pytest_wf.court.auditor_folder import AuditorFolder
from pytest_wf.wire.files import BadJson, parse_json
from pytest_wf.wire.process import environ_of

#: The only variables of the controller's environment that an auditor gets.
_ALLOWED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME")
_COOKIE = "WF_AUDIT_COOKIE"
_MAX_BYTES = 1024 * 1024
#: The folder of this package.
_HOME = str(Path(__file__).resolve().parents[2])
_OWN = ["python", "-m", "pytest_wf.auditor"]
#: Starts the default auditor without site packages, which it does not use. The court waits for its
#: end, which tidies nothing up.
_OWN_START = ("-I", "-S", "-c")
_OWN_PROGRAM = (
    "import os, sys; sys.path.append(sys.argv[1]); from pytest_wf.auditor import main; "
    "status = main(); sys.stdout.flush(); sys.stderr.flush(); os._exit(status)"
)


@dataclass
class Auditors:
    """Starts an auditor for each phase, ahead of time if that is safe, and asks it.

    The command is split as in a shell but run without one, in an empty directory, with an
    environment of a few allowed names. `python` as the first word is this interpreter, and a
    word that names a file of the project is made absolute. At the end, on a time-out, and
    when a call is interrupted, the whole tree of its processes is killed.
    """

    command: str
    timeout_s: float
    #: Whether the command reads all of stdin before it does anything, so that it may be started
    #: before the document exists. The default auditor does.
    is_ahead: bool = False
    secret_names: Collection[str] = ()
    project_root: Path | None = None
    max_bytes: int = _MAX_BYTES
    _waiting: _Process | None = None

    def prepare(self) -> None:
        """Start the auditor for the next `audit`, if it can be started ahead of time."""
        if self._waiting is not None or not (self.is_ahead or _is_own(self.command)):
            return
        try:
            self._waiting = self._started()
        except (NoAnswer, OSError):
            pass  # `audit` starts it again, and says why it cannot

    def audit(self, document: Mapping[str, Any]) -> ConstitutionalAnswer:
        """Write `document` to an auditor's stdin and read its verdict from stdout.

        Each process is asked once. One that was started ahead of time and has ended is replaced.
        """
        began = time.monotonic()
        try:
            with self._taken() as process:
                answer = self._asked(process, document, began + self.timeout_s)
            left = process.left_behind
            note = f"it left {left} processes behind, which were killed" if left else ""
            answer = replace(answer, reason="; ".join(filter(None, (answer.reason, note))))
        except NoAnswer as e:
            answer = ConstitutionalAnswer("unverified", reason=str(e))
        return replace(answer, duration_s=round(time.monotonic() - began, 3))

    def close(self) -> None:
        """End the auditor that was started ahead of time."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.end()

    def _started(self) -> _Process:
        return _Process(
            _argv(self.command, self.project_root),
            _environment(self.command, self.secret_names),
        )

    @contextmanager
    def _taken(self) -> Iterator[_Process]:
        if self._waiting is not None and not self._waiting.is_alive:
            self.close()
        process = self._waiting or self._started()
        self._waiting = None
        try:
            yield process
        finally:
            process.end()

    def _asked(
        self, process: _Process, document: Mapping[str, Any], deadline: float
    ) -> ConstitutionalAnswer:
        stdin = json.dumps(document, allow_nan=False).encode("utf-8")
        talk = _Talk(process.popen, stdin, self.max_bytes)
        try:
            ended = talk.until(deadline)
        finally:
            process.end()  # and its descendants, before its answer counts
        if talk.flooded:
            raise NoAnswer(f"the auditor wrote more than {self.max_bytes} bytes to {talk.flooded}")
        if not ended:
            raise NoAnswer(f"the auditor gave no answer within {self.timeout_s:g} s")
        if process.popen.returncode != 0:
            raise NoAnswer(
                f"the auditor ended with status {process.popen.returncode}: {talk.stderr_tail()}"
            )
        return read_answer(_parsed(bytes(talk.stdout), self.max_bytes), document)


def auditors_of(config: Config, project_root: Path) -> Auditors:
    """The auditors that `config` asks for."""
    return Auditors(
        config.wf_subagent_validator_cmd,
        config.wf_subagent_validator_timeout_secs,
        is_ahead=config.wf_subagent_validator_ahead,
        secret_names=(*config.wf_secret_env, *config.wf_notify),
        project_root=project_root,
    )


def _is_own(command: str) -> bool:
    return command.split() == _OWN


def _parsed(raw: bytes, max_bytes: int) -> object:
    if not raw.strip():
        raise NoAnswer("the auditor wrote nothing")
    try:
        return parse_json(raw, max_bytes)
    except BadJson as e:
        raise NoAnswer(f"the auditor's output is not one JSON document: {e}") from None


def _argv(command: str, project_root: Path | None) -> list[str]:
    try:
        argv = shlex.split(command)
    except ValueError as e:
        raise NoAnswer(f"the auditor's command {command!r} cannot be split: {e}") from None
    if not argv:
        raise NoAnswer("no auditor is configured")
    if project_root is not None:
        root = project_root.absolute()
        # a bare first word is searched on PATH, never in the project
        named = [i > 0 or "/" in word for i, word in enumerate(argv)]
        argv = [
            str(root / word) if word and named[i] and _is_file(root / word) else word
            for i, word in enumerate(argv)
        ]
    if argv == _OWN:
        return [sys.executable, *_OWN_START, _OWN_PROGRAM, _HOME]
    if argv[0] == "python":
        argv[0] = sys.executable
    return argv


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _environment(command: str, secret_names: Collection[str]) -> dict[str, str]:
    environ = {name: os.environ[name] for name in _ALLOWED if name in os.environ}
    environ.setdefault("PATH", os.defpath)
    if command.split()[:1] == ["python"] and not _is_own(command):
        import sysconfig  # only here: the default auditor gets _HOME as an argument

        if _HOME not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
            environ["PYTHONPATH"] = _HOME
    for name in secret_names:
        environ.pop(name, None)
    return environ


class _Process:
    """A started auditor in an empty directory, with a cookie that identifies its process tree."""

    #: Auditors that may still get a document.
    living: ClassVar[WeakSet[_Process]] = WeakSet()

    def __init__(self, argv: list[str], environ: Mapping[str, str]) -> None:
        #: How many other processes were alive at its end.
        self.left_behind = 0
        self._cookie = secrets.token_hex(16)
        self._folder = AuditorFolder()
        self._has_ended = False
        popen: subprocess.Popen[bytes] | None = None
        try:
            popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._folder.path,
                env={**environ, _COOKIE: self._cookie},
                start_new_session=True,
            )
        except (OSError, ValueError) as e:
            raise NoAnswer(f"the auditor {argv[0]!r} cannot be started: {e}") from None
        finally:
            if popen is None:  # an interruption may have come during the start
                _kill_tree(None, self._cookie)
                self._folder.remove()
        self.popen = popen
        self.living.add(self)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    def end(self) -> None:
        """Kill its tree and remove its directory, once."""
        if self._has_ended:
            return
        try:
            self.left_behind = _kill_tree(self.popen, self._cookie)
            self._has_ended = True
        finally:
            self.living.discard(self)
            for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
                _close(stream)
            self._folder.remove()


def _leave_all() -> None:
    for process in _Process.living:
        _close(process.popen.stdin)


# a forked child of a phase would hold stdin open, and the auditor would wait for its end
os.register_at_fork(after_in_child=_leave_all)


class _Talk:
    """Feeds stdin and reads both outputs at once, each up to a limit, until a deadline."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, max_bytes: int) -> None:
        self._process = process
        self._pending = memoryview(stdin)
        self._max_bytes = max_bytes
        self._open = 0
        self.stdout = bytearray()
        self._stderr = bytearray()
        #: Name of the stream that exceeded its limit; empty if none did.
        self.flooded = ""

    def stderr_tail(self) -> str:
        return clean(self._stderr[-2000:].decode("utf-8", "replace")).strip()

    def until(self, deadline: float) -> bool:
        """Whether the process ended before `deadline`, with no output beyond its limit."""
        stdin, outputs = self._process.stdin, [self._process.stdout, self._process.stderr]
        with selectors.DefaultSelector() as selector:
            assert stdin is not None
            os.set_blocking(stdin.fileno(), False)
            selector.register(stdin, selectors.EVENT_WRITE, self._feed)
            for stream, into in zip(outputs, (self.stdout, self._stderr), strict=True):
                assert stream is not None
                os.set_blocking(stream.fileno(), False)
                drain = functools.partial(self._drain, stream.fileno(), into)
                selector.register(stream, selectors.EVENT_READ, drain)
                self._open += 1
            while self._open:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                # asked first: what it wrote before its end is then there to be read
                has_ended = self._process.poll() is not None
                ready = selector.select(0 if has_ended else min(left_s, 0.2))
                if not ready and has_ended:
                    break  # one of its children holds the pipes open
                for key, _ in ready:
                    if key.data():
                        selector.unregister(key.fileobj)
                if self.flooded:
                    return False
        _close(stdin)
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _feed(self) -> bool:
        """Write what fits into the pipe; return whether stdin is finished."""
        assert self._process.stdin is not None
        try:
            piece = self._pending[:65536]
            self._pending = self._pending[os.write(self._process.stdin.fileno(), piece) :]
        except BlockingIOError:
            return False
        except OSError:
            self._pending = self._pending[:0]  # the process closed its stdin, as it may
        if self._pending:
            return False
        _close(self._process.stdin)
        return True

    def _drain(self, fd: int, into: bytearray) -> bool:
        """Read what is available; return whether the stream has ended."""
        try:
            piece = os.read(fd, 65536)
        except BlockingIOError:
            return False
        into += piece
        if len(into) > self._max_bytes:
            self.flooded = "stdout" if into is self.stdout else "stderr"
        self._open -= not piece
        return not piece


def _kill_tree(process: subprocess.Popen[bytes] | None, cookie: str) -> int:
    """Kill the process, its session and every process with its cookie.

    `process` is None where its start was interrupted. Returns how many other processes were
    still alive.
    """
    own = {process.pid} if process else set()
    left_behind = set(_carriers(cookie)) - own
    if process:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    for _ in range(20):  # a process may fork while the list is read
        strays = set(_carriers(cookie)) - own
        if not strays:
            break
        for pid in strays:
            _kill(pid)
        left_behind |= strays
    if process:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass  # the kernel still holds it; it cannot affect a verdict
    return len(left_behind)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _carriers(cookie: str) -> list[int]:
    """Running processes of this user with `cookie` in their environment; Linux only."""
    mark = f"{_COOKIE}={cookie}".encode()
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    return [int(pid) for pid in pids if mark in environ_of(int(pid))]


def _close(stream: IO[bytes] | None) -> None:
    try:
        if stream is not None:
            stream.close()
    except OSError:
        pass
