"""Commands that a detached operation runs: logged, timed, and ended with all their processes."""

import os
import select
import shlex
import subprocess
import time
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

from pytest_wf.agent import process
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import environment
from pytest_wf.wire.process import exit_status
from pytest_wf.wire.remotes import masked
from pytest_wf.wire.safe_text import excerpt

#: The most characters of a command's output that are returned; the log has all of it.
TAIL_CHARS = 256 * 1024

#: Runs commands of the user: a pipeline fails if any of its parts does, and no start-up file
#: changes PATH (Debian's bash reads ~/.bashrc for `bash -c` right below sshd).
BASH = ("bash", "--norc", "-o", "pipefail")

_STEP_COOKIE = "WF_STEP_COOKIE"
_GRACE_S = 5.0


class Step(NamedTuple):
    """A command that ended, or was ended."""

    #: None if the time-out ended it.
    returncode: Optional[int]
    #: Both outputs, the last `TAIL_CHARS`, credentials in URLs masked.
    output: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended with status 0."""
        return self.returncode == 0

    def tail(self, lines: int = 20) -> List[str]:
        """The last lines of its output."""
        return self.output.splitlines()[-lines:]

    def says(self) -> str:
        """How it ended, and an excerpt of its output, in one line."""
        said = excerpt(self.output)
        how = "timed out" if self.returncode is None else exit_status(self.returncode)
        return "%s: %s" % (how, said) if said else how


class StepLog:
    """The log of one operation; every text that goes in is masked."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, text: str) -> None:
        """Append `text`."""
        if text:
            with open(self.path, "ab") as f:
                f.write(masked(text).encode("utf-8", "replace"))

    def size(self) -> int:
        """Its length in bytes."""
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def tail(self, lines: int) -> List[str]:
        """The last lines; none if there is no log."""
        try:
            with open(self.path, "rb") as f:
                f.seek(max(0, os.path.getsize(self.path) - 64 * 1024))
                return f.read().decode("utf-8", "replace").splitlines()[-lines:]
        except OSError:
            return []

    def last_line(self) -> str:
        """The newest line for people, cut to 500 characters; '' if there is none.

        Blank lines, our own programs and their answers are skipped.
        """
        for line in reversed(self.tail(20)):
            is_answer = line.startswith(("wf-facts:", "{"))
            is_inner = is_answer or (line.startswith("$ ") and "\\n" in line)
            if line.strip() and not is_inner:
                return line[:500]
        return ""


def exported(settings: Settings, extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """The environment of a user's command: the login's, the config's set keys, `extra`."""
    env = environment.of_command({key: value for key, value in settings.items() if value})
    env.update(extra or {})
    return env


def run_step(
    log: StepLog,
    argv: Sequence[str],
    *,
    timeout_s: float,
    cwd: str = "/",
    env: Optional[Mapping[str, str]] = None,
) -> Step:
    """Run `argv` to its end, its output into `log`, nothing on its stdin.

    The default of `env` is `environment.of_tool`. After `timeout_s`, and on an interruption, it is
    ended with all processes that it started. Background processes that it leaves behind are not
    ended. Raises OSError if it cannot be started, or the log cannot be written.
    """
    cookie = os.urandom(16).hex()
    shown = " ".join(shlex.quote(word) for word in argv)
    # one line, as a program given by `-c` has many, and the newest line is shown to people
    log.write("$ %s\n" % shown.replace("\n", "\\n"))
    started = time.monotonic()
    with subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(environment.of_tool() if env is None else env, **{_STEP_COOKIE: cookie}),
        start_new_session=True,
    ) as child:
        known = process.identity(child.pid)
        pump = _Pump(child, log)
        ended = False
        try:
            ended = pump.until_end(started + timeout_s)
            if not ended:
                log.write("ended after %.0f s\n" % timeout_s)
        finally:
            if not ended:  # or interrupted, as by a full disk
                process.kill_tree(cookie, known, _GRACE_S, name=_STEP_COOKIE)
        if not ended:
            pump.until_end(time.monotonic() + 1.0)
        code = child.wait()
        return Step(code if ended else None, pump.close(), time.monotonic() - started)


class _Pump:
    """Moves a child's output into the log, line by line, and keeps its end."""

    def __init__(self, child: "subprocess.Popen[bytes]", log: StepLog) -> None:
        assert child.stdout is not None
        self._child = child
        self._fd = child.stdout.fileno()
        self._log = log
        self._line = b""
        self._kept = ""

    def until_end(self, deadline: float) -> bool:
        """Whether the child ended before `deadline` (monotonic)."""
        while True:
            ended = self._child.poll() is not None
            left = deadline - time.monotonic()
            # a background process may hold the pipe open: its output is not waited for
            ready, _, _ = select.select([self._fd], [], [], 0 if ended else max(0, min(left, 0.2)))
            piece = os.read(self._fd, 1 << 16) if ready else b""
            if piece:
                self._take(piece)
            elif ended:
                return True
            elif ready:
                # it closed its output; only its end is awaited
                try:
                    self._child.wait(max(0, left))
                except subprocess.TimeoutExpired:
                    return False
            if not ended and left <= 0:
                return False

    def close(self) -> str:
        """The end of the output."""
        if self._line:
            # a last line without a newline is kept as it is: git lists names with NULs
            last = masked(self._line.decode("utf-8", "replace"))
            self._log.write(last + "\n")
            self._kept = (self._kept + last)[-TAIL_CHARS:]
        assert self._child.stdout is not None
        self._child.stdout.close()
        return self._kept

    def _take(self, piece: bytes) -> None:
        *lines, self._line = (self._line + piece).split(b"\n")
        if len(self._line) > 1 << 16:
            lines.append(self._line)
            self._line = b""
        if lines:
            text = masked("".join(line.decode("utf-8", "replace") + "\n" for line in lines))
            self._log.write(text)
            self._kept = (self._kept + text)[-TAIL_CHARS:]
