"""Starts the agent's programs, each in a session of its own, by a fork where that is safe.

A fork takes a millisecond, a new Python forty. The fork is like a new process: it has its own
arguments, and no descriptor, signal handler, lock or child of its parent. A process may be forked
if it runs one of the agent's programs and has one thread. If it has several, its helper is forked
instead; the helper is itself a fork, made before the threads were started. Otherwise a new Python
is started.
"""

import io
import os
import signal
import sys
import threading
import traceback
from typing import NoReturn, Optional, Sequence

from pytest_wf.agent import process, process_title, programs
from pytest_wf.agent.fork_helper import Asked, Client, serve
from pytest_wf.agent.process import Identity

_is_allowed = False
_helper: Optional[Client] = None
_asking = threading.Lock()


def allow() -> None:
    """Permit forks of this process: it runs one of the agent's programs and nothing else."""
    global _is_allowed  # noqa: PLW0603 - a property of the process
    _is_allowed = True


def keep_helper() -> None:
    """Fork a helper now, for a process that will have threads; it ends when this process does."""
    global _helper  # noqa: PLW0603 - a property of the process
    if not _may_fork() or process.is_in_memory():
        return
    asking, answering = os.pipe(), os.pipe()
    if os.fork() == 0:
        try:
            _close_all_but(2, asking[0], answering[1])
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # its children are not waited for
            serve(asking[0], answering[1], _fork, _load_runners)
        finally:
            os._exit(0)
    os.close(asking[0])
    os.close(answering[1])
    _helper = Client(asking[1], answering[0])


def start(
    words: Sequence[str],
    *,
    log_path: str,
    stdin: bytes,
    cwd: Optional[str] = None,
    cookie: str = "",
) -> Identity:
    """Start the agent's program `words` in a session of its own and return at once.

    Its stdout and stderr are appended to `log_path`; `stdin` is its standard input. The processes
    that it starts carry `cookie`; it carries `cookie` itself only if it is not a fork. Raises
    OSError.
    """
    global _helper  # noqa: PLW0603 - a property of the process
    asked = Asked(tuple(words), log_path, stdin, cwd, cookie)
    if _may_fork():
        process.reap()
        return process.adopt(_fork(asked))
    with _asking:
        if _helper is not None:
            known = _helper.ask(asked)
            if known is not None:
                return known
            _helper = None  # the helper is gone, or does not answer
    env = process.cookie_env(cookie) if cookie else None
    argv = process.agent_argv(*words)
    return process.spawn_session(argv, log_path=log_path, stdin=stdin, env=env, cwd=cwd)


def _may_fork() -> bool:
    # a cookie is passed on only through the environment of a new process
    if not _is_allowed or process.COOKIE in os.environ:
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def _load_runners() -> None:
    """Import what a sweep will need, while the operation works that was just started."""
    for word in ("queue", "attempt"):
        programs.load(word)


def _fork(asked: Asked) -> int:
    """The pid of a new process that runs `asked`. Raises OSError."""
    programs.load(asked.words[0])  # once here, and not in each fork
    log = os.open(asked.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            _become(asked, log)
        return pid
    finally:
        os.close(log)


def _become(asked: Asked, log: int) -> NoReturn:
    """Run a program in this new process to its end."""
    global _helper  # noqa: PLW0603 - a property of the process
    status = 1
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        _close_all_but(2)
        _reset_signals()
        if asked.cwd is not None:
            os.chdir(asked.cwd)
        if asked.cookie:
            os.environ[process.COOKIE] = asked.cookie
        _helper = None
        process.forget()
        sys.argv = process.agent_argv(*asked.words)
        process_title.show(sys.argv)
        status = programs.run(asked.words, io.BytesIO(asked.stdin))
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


def _close_all_but(last: int, *kept: int) -> None:
    """Make /dev/null stdin, and close all descriptors above `last` that are not `kept`."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > last and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor of the listing itself


def _reset_signals() -> None:
    """Reset signals as in a new process: ignored ones stay ignored, except SIGCHLD."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in signal.Signals:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
