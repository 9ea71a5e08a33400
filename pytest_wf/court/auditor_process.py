"""Runs the auditor that the user chose, as a process of its own, and believes little.

Whatever it does that is not one good JSON answer in time makes the verdict 'unverified'.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from pytest_wf.court.constitution import LAWS
from pytest_wf.wire.files import BadJson, parse_json

#: What an auditor may have of the controller's environment, and nothing else.
_ALLOWED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME")
_COOKIE = "WF_AUDIT_COOKIE"
_MAX_BYTES = 1024 * 1024
_MAX_TEXT_CHARS = 8000
_KEYS = frozenset({"verdict", "violated_laws", "evidence_refs", "remediation"})
#: An answer may repeat these, and must then repeat them rightly.
_ECHOES = ("nonce", "evidence_sha256")


@dataclass(frozen=True)
class ConstitutionalAnswer:
    """What came of an audit. `reason` says why it is 'unverified', and what was noticed."""

    verdict: Literal["pass", "fail", "unverified"]
    violated_laws: tuple[int, ...] = ()
    evidence_refs: tuple[str, ...] = ()
    remediation: str = ""
    reason: str = ""
    duration_s: float = 0.0


class _NoAnswer(Exception):
    """Why there is no answer to believe."""


def run_auditor(
    command: str,
    document: Mapping[str, Any],
    *,
    timeout_s: float,
    max_bytes: int = _MAX_BYTES,
    secrets_env_names: Collection[str] = (),
    project_root: Path | None = None,
) -> ConstitutionalAnswer:
    """Give `document` to `command` on stdin and read its verdict from stdout.

    The command is split like a shell does and run without one, in an empty directory, with
    an environment of a few allowed names; `python` at its start is this interpreter, and a
    word that names a file of the project is made absolute. At the end, on a time-out, and
    when this call is interrupted, the whole tree of its processes is killed.
    """
    started = time.monotonic()
    try:
        raw, note = _output(
            _argv(command, project_root),
            json.dumps(document, allow_nan=False).encode("utf-8"),
            deadline=started + timeout_s,
            timeout_s=timeout_s,
            max_bytes=max_bytes,
            environ=_environment(command, secrets_env_names),
        )
        answer = read_answer(_parsed(raw, max_bytes), document)
        answer = replace(answer, reason="; ".join(filter(None, (answer.reason, note))))
    except _NoAnswer as e:
        answer = ConstitutionalAnswer("unverified", reason=str(e))
    return replace(answer, duration_s=round(time.monotonic() - started, 3))


def read_answer(value: object, document: Mapping[str, Any]) -> ConstitutionalAnswer:
    """The answer in `value`, a parsed JSON document; 'unverified' for anything not to the letter.

    An answer has exactly the keys verdict, violated_laws, evidence_refs and remediation. It
    may repeat `nonce` and `evidence_sha256` of `document`, and must then repeat them rightly.
    """
    try:
        return _read(value, document)
    except _NoAnswer as e:
        return ConstitutionalAnswer("unverified", reason=str(e))


def _read(value: object, document: Mapping[str, Any]) -> ConstitutionalAnswer:
    if not isinstance(value, Mapping):
        raise _NoAnswer(f"the answer is a {type(value).__name__}, not one JSON object")
    missing = sorted(_KEYS - set(value))
    strays = sorted(map(str, set(value) - _KEYS - set(_ECHOES)))
    if missing or strays:
        raise _NoAnswer(f"the answer lacks {missing} and has {strays} beyond what is known")
    for name in _ECHOES:
        if name in value and value[name] != document.get(name):
            raise _NoAnswer(f"the answer is about another request: its {name} differs")
    verdict = value["verdict"]
    if verdict not in ("pass", "fail", "unverified") or not isinstance(verdict, str):
        raise _NoAnswer(f"verdict is {_shown(verdict)}; it must be pass, fail or unverified")
    laws, refs, remediation = (value[k] for k in ("violated_laws", "evidence_refs", "remediation"))
    if not isinstance(laws, (list, tuple)) or not all(type(law) is int for law in laws):
        raise _NoAnswer(f"violated_laws is {_shown(laws)}; it must be a list of law numbers")
    unknown = sorted(set(laws) - set(LAWS))
    if unknown:
        raise _NoAnswer(f"violated_laws names {_shown(unknown)}; the laws are 1 to {max(LAWS)}")
    if not isinstance(refs, (list, tuple)) or not all(isinstance(r, str) for r in refs):
        raise _NoAnswer(f"evidence_refs is {_shown(refs)}; it must be a list of strings")
    if not isinstance(remediation, str):
        raise _NoAnswer(f"remediation is {_shown(remediation)}; it must be a string")
    if verdict == "pass" and laws:
        raise _NoAnswer(f"verdict is pass, and yet laws {sorted(set(laws))} are violated")
    return ConstitutionalAnswer(
        verdict,  # type: ignore[arg-type]
        tuple(sorted(set(laws))),
        tuple(_clean(ref) for ref in refs[:200]),
        _clean(remediation),
        reason="the auditor itself says unverified" if verdict == "unverified" else "",
    )


def _parsed(raw: bytes, max_bytes: int) -> object:
    if not raw.strip():
        raise _NoAnswer("the auditor wrote nothing")
    try:
        return parse_json(raw, max_bytes)
    except BadJson as e:
        raise _NoAnswer(f"the auditor's output is not one JSON document: {e}") from None


def _argv(command: str, project_root: Path | None) -> list[str]:
    try:
        argv = shlex.split(command)
    except ValueError as e:
        raise _NoAnswer(f"the auditor's command {command!r} cannot be split: {e}") from None
    if not argv:
        raise _NoAnswer("no auditor is configured")
    if project_root is not None:
        root = project_root.absolute()
        # a bare first word is looked up on PATH, never in the project
        named = [i > 0 or "/" in word for i, word in enumerate(argv)]
        argv = [
            str(root / word) if word and named[i] and _is_file(root / word) else word
            for i, word in enumerate(argv)
        ]
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
    if command.split()[:1] == ["python"]:
        home = str(Path(__file__).resolve().parents[2])
        if home not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
            environ["PYTHONPATH"] = home
    for name in secret_names:
        environ.pop(name, None)
    environ[_COOKIE] = secrets.token_hex(16)
    return environ


def _output(
    argv: list[str],
    stdin: bytes,
    *,
    deadline: float,
    timeout_s: float,
    max_bytes: int,
    environ: Mapping[str, str],
) -> tuple[bytes, str]:
    """What the process wrote, and a note on what it left behind. Its tree is dead afterwards."""
    folder = tempfile.mkdtemp(prefix="wf-audit-")
    process: subprocess.Popen[bytes] | None = None
    try:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=dict(environ),
                start_new_session=True,
            )
        except (OSError, ValueError) as e:
            raise _NoAnswer(f"the auditor {argv[0]!r} cannot be started: {e}") from None
        talk = _Talk(process, stdin, max_bytes)
        try:
            ended = talk.until(deadline)
        finally:
            left_behind = _kill_tree(process, environ[_COOKIE])
        if talk.flooded:
            raise _NoAnswer(f"the auditor wrote more than {max_bytes} bytes to {talk.flooded}")
        if not ended:
            raise _NoAnswer(f"the auditor gave no answer within {timeout_s:g} s")
        if process.returncode != 0:
            raise _NoAnswer(
                f"the auditor ended with status {process.returncode}: {talk.stderr_tail()}"
            )
        note = f"it left {left_behind} processes behind, which were killed" if left_behind else ""
        return bytes(talk.stdout), note
    finally:
        if process is None:  # an interruption may have come while it was started
            _kill_tree(None, environ[_COOKIE])
        for stream in (process.stdin, process.stdout, process.stderr) if process else ():
            _close(stream)
        shutil.rmtree(folder, ignore_errors=True)


class _Talk:
    """Feeds stdin and drains both outputs together, each up to a cap, until a deadline."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, max_bytes: int) -> None:
        self._process = process
        self._pending = memoryview(stdin)
        self._max_bytes = max_bytes
        self._open = 0
        self.stdout = bytearray()
        self._stderr = bytearray()
        #: Name of the stream that was flooded; empty when none was.
        self.flooded = ""

    def stderr_tail(self) -> str:
        return _clean(self._stderr[-2000:].decode("utf-8", "replace")).strip()

    def until(self, deadline: float) -> bool:
        """Whether the process ended before `deadline`; False also after a flood."""
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
                ready = selector.select(min(left_s, 0.2))
                if not ready and self._process.poll() is not None:
                    break  # it has ended, and a child of its holds the pipes open
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
        """Write what the pipe takes; whether stdin is done with."""
        assert self._process.stdin is not None
        try:
            piece = self._pending[:65536]
            self._pending = self._pending[os.write(self._process.stdin.fileno(), piece) :]
        except BlockingIOError:
            return False
        except OSError:
            self._pending = self._pending[:0]  # it does not want to read: its own affair
        if self._pending:
            return False
        _close(self._process.stdin)
        return True

    def _drain(self, fd: int, into: bytearray) -> bool:
        """Read what is there; whether the stream has ended."""
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
    """Kill the process, its session and everything that carries its cookie.

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
            pass  # the kernel holds it; it can do no harm to a verdict
    return len(left_behind)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _carriers(cookie: str) -> list[int]:
    """Living processes of this user with `cookie` in their environment; Linux only."""
    mark = f"{_COOKIE}={cookie}".encode()
    folders = Path("/proc").glob("[0-9]*")
    return [int(f.name) for f in folders if mark in _bytes(f / "environ").split(b"\0")]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it has ended, or is not ours


def _close(stream: IO[bytes] | None) -> None:
    try:
        if stream is not None:
            stream.close()
    except OSError:
        pass


def _clean(text: str) -> str:
    """`text` without what a terminal would obey, cut to a sane length."""
    kept = text.encode("utf-8", "replace").decode("utf-8")[:_MAX_TEXT_CHARS]
    return "".join(c if c.isprintable() or c == "\n" else " " for c in kept)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
