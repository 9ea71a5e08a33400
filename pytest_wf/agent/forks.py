"""Programs of the agent, each in a session of its own: a fork of this process where that is clean.

A fork takes a millisecond and a new Python forty. The fork has what a new process would have: no
descriptor, signal handler, lock or child of its parent's, and its own title. A process may be
forked where it runs a program of the agent's and has one thread; elsewhere a new Python is started.
"""

import io
import os
import signal
import sys
import traceback
from typing import NoReturn, Optional, Sequence

from pytest_wf.agent import process, process_title, programs
from pytest_wf.agent.process import Identity

_is_allowed = False


def allow() -> None:
    """Let this process be forked: it runs one of the agent's programs and nothing else."""
    global _is_allowed  # noqa: PLW0603 - a property of the process
    _is_allowed = True


def start(
    words: Sequence[str], *, log_path: str, stdin: bytes, cwd: Optional[str] = None
) -> Identity:
    """Start the agent's program `words` in a session of its own and come back at once.

    Both outputs are appended to `log_path`; `stdin` is what it may read. Raises OSError.
    """
    argv = process.agent_argv(*words)
    if not _may_fork():
        return process.spawn_session(argv, log_path=log_path, stdin=stdin, cwd=cwd)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            _become(argv, words, log, stdin, cwd)
    finally:
        os.close(log)
    return process.adopt(pid)


def _may_fork() -> bool:
    # whatever carries a cookie passes it on by a new process's environment alone
    if not _is_allowed or process.COOKIE in os.environ:
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def _become(
    argv: Sequence[str], words: Sequence[str], log: int, stdin: bytes, cwd: Optional[str]
) -> NoReturn:
    """Run a program in this new process to its end."""
    status = 1
    try:
        os.setsid()
        _take_over_streams(log)
        _reset_signals()
        if cwd is not None:
            os.chdir(cwd)
        process.forget()
        sys.argv = list(argv)
        process_title.show(argv)
        status = programs.run(words, io.BytesIO(stdin))
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing of the parent's may run in this process
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _take_over_streams(log: int) -> None:
    """Let /dev/null and `log` be the standard streams, and close all else."""
    null = os.open(os.devnull, os.O_RDONLY)
    for mine, taken in enumerate((null, log, log)):
        os.dup2(taken, mine)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # the listing's own


def _reset_signals() -> None:
    """Let signals do what they do in a new process: what is ignored stays so."""
    signal.set_wakeup_fd(-1)
    for number in signal.Signals:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
