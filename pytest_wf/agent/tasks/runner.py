"""The runner of one tracked task: runs its command, keeps its log and writes how it ended.

A process in a session of its own: neither the link nor the controller nor tmux takes it down.
What it runs was frozen in the task's directory; the secrets come in one line on its stdin.
"""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Any, Dict, List, NamedTuple, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import clock
from pytest_wf.agent.run import child_process
from pytest_wf.agent.run.log_pump import LogPump
from pytest_wf.agent.tasks.task_dir import SCHEMA, runner_of
from pytest_wf.wire.files import parse_json, read_json, write_json
from pytest_wf.wire.messages import MAX_LINE_BYTES
from pytest_wf.wire.redact import Redactor

#: Longest time between two looks at the command.
LOOK_S = 0.1
#: What the command left behind gets no more than this to end by itself.
LEFTOVER_GRACE_S = 5.0

_TMUX_S = 5.0


class End(NamedTuple):
    """Why the runner itself ends the command."""

    state: str
    reason: str


def task_main(words: List[str]) -> int:
    """``task <directory>``: 0 when the task ended, however it ended."""
    if len(words) != 1:
        print("task takes a directory", file=sys.stderr)
        return 2
    told = parse_json(sys.stdin.buffer.readline(MAX_LINE_BYTES + 1), MAX_LINE_BYTES)
    task = Task(words[0], dict(told["secrets"]))
    me = process.identity(os.getpid())
    if not child_process.is_acknowledged(lambda: runner_of(words[0]), me, int(told["starter"])):
        return 3
    signal.signal(signal.SIGTERM, task.on_sigterm)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        task.run()
    except OSError as e:
        task.give_up(e)
    return 0


class Task:
    """One task, as its directory says."""

    def __init__(self, folder: str, secrets: Dict[str, str]) -> None:
        self._folder = folder
        self._frozen: Dict[str, Any] = read_json(os.path.join(folder, "task.json"))
        self._secrets = secrets
        self._redactor = Redactor(secrets.values())
        self._cookie = str(self._frozen["cookie"])
        self._grace_s = float(self._frozen["grace_s"])
        self._timeout_s = int(self._frozen["timeout_s"])
        self._told_to_end = threading.Event()
        self._began = time.monotonic()
        self._started_at = clock.now()
        self._child_pid: Optional[int] = None
        self._notes: List[str] = []
        self._tmux: Optional[Dict[str, str]] = None

    def on_sigterm(self, _number: int, _frame: Optional[FrameType]) -> None:
        """The machine is going down, or somebody wants this to end."""
        self._told_to_end.set()

    def run(self) -> None:
        """Run the command to its end, and write how it was."""
        reserve = child_process.keep_reserve(self._folder)
        path = os.path.join(self._folder, "stdout.log")
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            child, pump = child_process.start(
                [self._frozen["shell"], os.path.join(self._folder, "command.sh")],
                cwd=self._frozen["workdir"],
                env=dict(os.environ, **self._secrets, **{process.COOKIE: self._cookie}),
                log=log,
                redactor=self._redactor,
            )
        except OSError as e:
            self._finish(reserve, End("failed", "the command could not be started: %s" % e), None)
            return
        self._child_pid = child.pid
        self._status("running")
        self._tmux = self._open_window(path, child.pid)
        if self._tmux is not None:
            self._status("running")
        end = self._watch(child)
        left = self._clear(child, pump, end)
        self._finish(reserve, end, child.returncode, left)

    def give_up(self, error: OSError) -> None:
        """The runner itself cannot go on, for want of disk or the like: end all, and say so."""
        left = process.kill_tree(self._cookie, None, min(self._grace_s, LEFTOVER_GRACE_S))
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the pod's disk is full" if full else "the runner could not go on: %s" % error
        self._finish(os.path.join(self._folder, ".reserve"), End("failed", reason), None, left)

    def _watch(self, child: "subprocess.Popen[bytes]") -> Optional[End]:
        """Wait for the command's own end, or find a reason to end it."""
        stop_path = os.path.join(self._folder, "stop")
        ended = child_process.end_of(child)
        while True:
            if ended.wait(LOOK_S):
                return None
            if os.path.exists(stop_path):
                return End("failed", "stopped by request")
            if self._told_to_end.is_set():
                return End("failed", "the pod sent SIGTERM to the runner")
            if self._timeout_s and time.monotonic() - self._began > self._timeout_s:
                return End("timed_out", "ran longer than %d s" % self._timeout_s)

    def _clear(
        self, child: "subprocess.Popen[bytes]", pump: LogPump, end: Optional[End]
    ) -> List[int]:
        """End what is left of the task; the pids that could not be ended."""
        left: List[int] = []
        if end is not None:
            left = process.kill_tree(self._cookie, process.identity(child.pid), self._grace_s)
            try:
                child.wait(LEFTOVER_GRACE_S)
            except subprocess.TimeoutExpired:
                pass
        else:
            stray = process.holders(self._cookie)
            if stray:
                self._notes.append("%d processes outlived the command and were ended" % len(stray))
                left = process.kill_tree(self._cookie, None, min(self._grace_s, LEFTOVER_GRACE_S))
        if not pump.join(LEFTOVER_GRACE_S):
            self._notes.append("somebody outside the task still holds its log's pipe")
        if pump.lost:
            self._notes.append("%d bytes of log were lost: %s" % (pump.lost, pump.lost_why))
        return left

    def _finish(
        self, reserve: str, end: Optional[End], status: Optional[int], left: Any = ()
    ) -> None:
        if end is None and status:
            end = End("failed", "")
        child_process.remove(reserve)
        self._status(
            "success" if end is None else end.state,
            exit_code=None if status is None else child_process.shell_status(status),
            signal=-status if status is not None and status < 0 else None,
            reason=end.reason if end is not None and end.reason else None,
            ended_at=clock.now(),
            left=list(left),
        )

    def _status(self, state: str, **known: Any) -> None:
        body: Dict[str, Any] = {
            "schema": SCHEMA,
            "task_id": self._frozen["task_id"],
            "state": state,
            "exit_code": None,
            "signal": None,
            "reason": None,
            "started_at": self._started_at,
            "ended_at": None,
            "pid": self._child_pid,
            "boot_id": process.boot_id(),
            "left": [],
            "notes": self._notes,
            "tmux": self._tmux,
        }
        body.update(known)
        write_json(os.path.join(self._folder, "status.json"), body)

    def _open_window(self, log: str, pid: int) -> Optional[Dict[str, str]]:
        """A tmux window that shows the log while `pid` runs; None where there is no tmux."""
        place: Dict[str, str] = dict(self._frozen["tmux"])
        server, session, window = place["socket"], place["session"], place["window"]
        # by number of bytes, not of lines: a progress bar's line may be of any length
        watch = ["tail", "-c", "65536", "-f", "-s", "0.5", "--pid=%d" % pid, log]
        more = ["new-window", "-d", "-t", "=%s:" % session, "-n", window, *watch]
        first = ["new-session", "-d", "-s", session, "-n", window, *watch]
        try:
            # two tasks may both find no session, and one of them make it
            for words in (more, first, more):
                if _tmux(["tmux", "-L", server, *words]) == 0:
                    return place
        except (OSError, subprocess.TimeoutExpired):
            pass
        return None


def _tmux(argv: List[str]) -> int:
    # the secrets stand in the command's environment alone, so tmux gets none
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_TMUX_S,
        check=False,
    ).returncode
