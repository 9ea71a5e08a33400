"""The runner of one tracked task: runs its command, keeps its log and writes how it ended.

It runs in a session of its own, so it survives the link, the controller and tmux. Its command was
frozen in the task's directory; the secrets come in one line on its stdin.
"""

import os
import sys
from typing import Any, BinaryIO, Dict, List, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import clock
from pytest_wf.agent.run import child_process
from pytest_wf.agent.run.runner_base import End, Runner, is_disk_full
from pytest_wf.agent.tasks.task_dir import SCHEMA, runner_of
from pytest_wf.wire import environment
from pytest_wf.wire.files import parse_json, read_json
from pytest_wf.wire.messages import MAX_LINE_BYTES
from pytest_wf.wire.process import boot_id

_TMUX_S = 5.0


def task_main(words: List[str], stdin: BinaryIO) -> int:
    """``task <directory>``: 0 when the task ended, however it ended."""
    if len(words) != 1:
        print("task takes a directory", file=sys.stderr)
        return 2
    told = parse_json(stdin.readline(MAX_LINE_BYTES + 1), MAX_LINE_BYTES)
    task = Task(words[0], dict(told["secrets"]))
    me = process.identity(os.getpid())
    return task.main(lambda: runner_of(words[0]), me, os.getppid())


class Task(Runner):
    """One task, as its directory says."""

    def __init__(self, folder: str, secrets: Dict[str, str]) -> None:
        self._frozen: Dict[str, Any] = read_json(os.path.join(folder, "task.json"))
        grace_s = float(self._frozen["grace_s"])
        linger_s = float(self._frozen["linger_s"])
        cookie = str(self._frozen["cookie"])
        super().__init__(folder, cookie, secrets, grace_s=grace_s, linger_s=linger_s)
        self._tmux: Optional[Dict[str, str]] = None

    def run(self) -> None:
        """Run the command to its end, and write how it ended."""
        reserve = child_process.keep_reserve(self._folder)
        log = self._open_log()
        # before the runner is a subreaper: tmux's server is not one of its processes
        self._tmux = self._open_window()
        try:
            child, pump = self._start(
                [child_process.bash(), os.path.join(self._folder, "command.sh")],
                cwd=self._frozen["workdir"],
                env=environment.of_command({**self._secrets, process.COOKIE: self._cookie}),
                log=log,
            )
        except OSError as e:
            self._finish(reserve, _failed("the command could not be started: %s" % e), None)
            return
        self._status("running")
        end = self._watch(child, int(self._frozen["timeout_s"]))
        left = self._clear(child, pump, end)
        self._finish(reserve, end, child.returncode, left)

    def give_up(self, error: OSError, left: List[int]) -> None:
        """Write the status of a task whose runner could not go on."""
        is_full = is_disk_full(error)
        reason = "the pod's disk is full" if is_full else "the runner could not go on: %s" % error
        self._finish(os.path.join(self._folder, ".reserve"), _failed(reason), None, left)

    def _finish(
        self, reserve: str, end: Optional[End], status: Optional[int], left: Any = ()
    ) -> None:
        if end is None and status:
            end = _failed("")
        self._close_window()
        child_process.give_reserve(reserve)
        self._status(
            # a task that was stopped has failed
            "success" if end is None else end.state.replace("stopped", "failed"),
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
            "boot_id": boot_id(),
            "left": [],
            "notes": self._notes,
            "tmux": self._tmux,
        }
        body.update(known)
        self._write(os.path.join(self._folder, "status.json"), body)

    def _open_window(self) -> Optional[Dict[str, str]]:
        """A tmux window that shows the log while the task runs; None if there is no tmux."""
        place: Dict[str, str] = dict(self._frozen["tmux"])
        server, session, window = place["socket"], place["session"], place["window"]
        log = os.path.join(self._folder, "stdout.log")
        # by number of bytes, not of lines: a progress bar's line may be of any length
        watch = ["tail", "-c", "65536", "-f", "-s", "0.5", "--pid=%d" % os.getpid(), log]
        more = ["new-window", "-d", "-t", "=%s:" % session, "-n", window, *watch]
        first = ["new-session", "-d", "-s", session, "-n", window, *watch]
        # of two tasks that both find no session, only one can create it
        for words in (more, first, more):
            # the secrets are in the command's environment alone, so tmux gets none
            if process.output(["tmux", "-L", server, *words], _TMUX_S).ok:
                return place
        return None

    def _close_window(self) -> None:
        if self._tmux is not None:
            place = self._tmux
            window = "=%s:=%s" % (place["session"], place["window"])
            process.output(["tmux", "-L", place["socket"], "kill-window", "-t", window], _TMUX_S)


def _failed(reason: str) -> End:
    return End("failed", "", reason)
