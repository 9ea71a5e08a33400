"""What the runners of attempts and of tasks have in common, from their start to their end."""

import errno
import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from types import FrameType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control import clock
from pytest_wf.agent.run import child_process, control_group, exit_status
from pytest_wf.agent.run.log_pump import LogPump
from pytest_wf.agent.run.watch import lingering
from pytest_wf.wire.files import write_json
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import Note

#: Longest time between two looks at the command.
LOOK_S = 0.2
#: The most seconds that remaining processes of the command get to end by themselves.
LEFTOVER_GRACE_S = 5.0


class End(NamedTuple):
    """Why the runner itself ends the command, or how it explains the command's failure."""

    state: str
    failure_class: str
    reason: str


class Runner(ABC):
    """Runs one command in a session of its own, keeps its log and writes how it ended."""

    def __init__(
        self, folder: str, cookie: str, secrets: Dict[str, str], *, grace_s: float, linger_s: float
    ) -> None:
        self._folder = folder
        self._cookie = cookie
        self._grace_s = grace_s
        self._linger_s = linger_s
        self._secrets = secrets
        self._redactor = Redactor(secrets.values())
        self._has_sigterm = threading.Event()
        self._began = time.monotonic()
        self._started_at = clock.now()
        self._child_pid: Optional[int] = None
        #: Path of the command's control group; '' if it has none.
        self._group = ""
        self._ending: Optional[End] = None
        self._notes: List[Dict[str, str]] = []

    def main(
        self,
        recorded: Callable[[], Optional[Mapping[str, Any]]],
        expected: Mapping[str, Any],
        starter: int,
    ) -> int:
        """Run to the end once the runner is recorded: 0; or 3 if it must not begin.

        1 if it could not go on, and could not write that either. The arguments are those of
        `child_process.is_acknowledged`.
        """
        if not child_process.is_acknowledged(recorded, expected, starter):
            return 3
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.run()
        except OSError as e:
            left = process.kill_tree(self._cookie, None, min(self._grace_s, LEFTOVER_GRACE_S))
            try:
                self.give_up(e, left)
            except OSError:
                return 1  # that cannot be written either: it is judged by the files on the disk
        finally:
            control_group.remove(self._group)
        return 0

    @abstractmethod
    def run(self) -> None:
        """Run the command to its end, and write how it ended. Raises OSError."""

    @abstractmethod
    def give_up(self, error: OSError, left: List[int]) -> None:
        """Write that the runner itself could not go on; `left` could not be ended."""

    def _on_sigterm(self, _number: int, _frame: Optional[FrameType]) -> None:
        self._has_sigterm.set()

    def _open_log(self) -> int:
        path = os.path.join(self._folder, "stdout.log")
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _start(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        log: int,
        on_lines: Optional[Callable[[str], None]] = None,
    ) -> "Tuple[subprocess.Popen[bytes], LogPump]":
        """`child_process.start`; this runner can find everything that the command starts."""
        process.become_subreaper()
        self._group = control_group.make(self._cookie)
        child, pump = child_process.start(
            argv,
            cwd=cwd,
            env=env,
            pump_of=lambda pipe: LogPump(pipe, log, self._redactor, on_lines),
            begin=(lambda: control_group.enter(self._group)) if self._group else None,
        )
        self._child_pid = child.pid
        return child, pump

    def _watch(
        self,
        child: "subprocess.Popen[bytes]",
        timeout_s: int,
        look: Callable[[], Optional[End]] = lambda: None,
    ) -> Optional[End]:
        """Wait for the command's own end (None), or find a reason to end it.

        `timeout_s` counts from the runner's start, 0 for no limit; `look` is called at least
        every `LOOK_S` seconds and may give a further reason.
        """
        ended = child_process.end_of(child, self._keep_exit_status)
        while not ended.wait(LOOK_S):
            process.reap_orphans(child.pid)
            self._ending = self._request() or self._overdue(timeout_s) or look()
            if self._ending is not None:
                return self._ending
        return None

    def _request(self) -> Optional[End]:
        """A reason from outside to end the command."""
        if os.path.exists(os.path.join(self._folder, "stop")):
            return End("stopped", "killed", "stopped by the user")
        if self._has_sigterm.is_set():
            return End("failed", "preempted", "the pod sent SIGTERM to the runner")
        return None

    def _overdue(self, timeout_s: int) -> Optional[End]:
        if not timeout_s or time.monotonic() - self._began <= timeout_s:
            return None
        return End("timed_out", "timeout", "ran longer than %d s" % timeout_s)

    def _keep_exit_status(self, status: int) -> None:
        ending = dict(self._ending._asdict()) if self._ending else None
        try:
            exit_status.write(self._folder, status, ending)
        except OSError as e:
            if is_disk_full(e):
                child_process.give_reserve(os.path.join(self._folder, ".reserve"))
            try:
                exit_status.write(self._folder, status, ending)
            except OSError as again:
                # this process knows it all the same
                self._note("exit-unwritten", "exit.json could not be written: %s" % again)

    def _clear(
        self, child: "subprocess.Popen[bytes]", pump: LogPump, end: Optional[End]
    ) -> List[int]:
        """End what is left of the command; the pids that could not be ended."""
        left: List[int] = []
        if end is not None:
            left = process.kill_tree(self._cookie, process.identity(child.pid), self._grace_s)
            try:
                child.wait(LEFTOVER_GRACE_S)
            except subprocess.TimeoutExpired:
                pass
        else:
            stray = lingering.wait_for(
                self._remaining, self._linger_s, lambda: self._request() is not None
            )
            if stray:
                ended = "%d processes outlived the command and were ended" % len(stray)
                self._note("late-writer", ended)
                left = process.kill_tree(self._cookie, None, min(self._grace_s, LEFTOVER_GRACE_S))
        if not pump.join(LEFTOVER_GRACE_S):
            text = "a process that is not part of this run still writes to its log"
            self._note("foreign-writer", text)
        if pump.lost:
            self._note("log-lost", "%d bytes of log were lost: %s" % (pump.lost, pump.lost_why))
        return left

    def _write(self, path: str, body: Dict[str, Any], *, is_live: bool = False) -> None:
        """Write a JSON file without any secret in it. Raises OSError.

        A live status is not flushed: after a power loss it is not true any more.
        """
        write_json(path, self._redactor.value(body), flush=None if is_live else os.fsync)

    def _remaining(self) -> Set[int]:
        """The processes started by the command that still run."""
        process.reap_orphans()
        found = process.marked(self._cookie) | control_group.members(self._group)
        return process.living(found) | process.descendants()

    def _note(self, code: str, text: str) -> None:
        """Add a note to the result; secrets in it are masked."""
        self._notes.append(Note(code, self._redactor.text(text)).as_json())


def is_disk_full(error: OSError) -> bool:
    """Whether it failed because a disk is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
