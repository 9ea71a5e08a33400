"""Identity of a process: a pid alone is reused, so the start time is a part of it."""

import functools
import os
import signal
import threading
import time
from typing import NamedTuple, Optional, Tuple

from pytest_wf.wire import environment

_PROC_BYTES = 1 << 16
#: The longest wait for the environment of a process inside `execve`.
_EXEC_S = 2.0
#: Fields of ``/proc/<pid>/stat``, counted from the one behind the name.
_VSIZE, _ENV_START, _ENV_END = 20, 47, 48
_PIPE = 128 + signal.SIGPIPE


def exit_status(code: int) -> str:
    """An exit status in words, with the cause if a part of a pipeline ended too early."""
    why = " (SIGPIPE: a part of a pipeline, such as `head`, ended before the one in front of it)"
    return "exit status %d%s" % (code, why if code == _PIPE else "")


def heed_children() -> None:
    """Let exit statuses be known where this process was started with SIGCHLD ignored.

    There the kernel drops them, and `subprocess` takes each process that ended for one that ended
    with 0. Only for the main thread; from another one it does nothing.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def is_argument(text: str) -> bool:
    """Whether `text` can be an argument of a process."""
    try:
        return b"\0" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False


class Stat(NamedTuple):
    """The part of ``/proc/<pid>/stat`` that is used here."""

    state: str
    parent: int
    session: int
    start_ticks: int
    #: CPU time that it has used, in ticks.
    cpu_ticks: int


def read_proc(path: str) -> Optional[bytes]:
    """A file of ``/proc``; None if it does not exist or may not be read.

    With as few calls as possible: a look at all processes reads hundreds.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        raw = piece = os.read(fd, _PROC_BYTES)
        while len(piece) == _PROC_BYTES:
            piece = os.read(fd, _PROC_BYTES)
            raw += piece
        return raw
    except OSError:
        return None
    finally:
        os.close(fd)


def environ_of(pid: int) -> bytes:
    """The environment of process `pid`, NUL-terminated; b"" if it has none or it may not be read.

    Inside `execve` there is none for a moment, and the process still has to be found by its new
    one: that is waited for.
    """
    deadline = time.monotonic() + _EXEC_S
    while True:
        raw = read_proc("/proc/%d/environ" % pid)
        if raw != b"" or not _is_in_exec(pid) or time.monotonic() > deadline:
            return raw or b""
        time.sleep(0.001)


def _is_in_exec(pid: int) -> bool:
    """Whether a process with an empty environment is being given another one."""
    raw = read_proc("/proc/%d/stat" % pid) or b""
    fields = raw.rpartition(b")")[2].split()
    if len(fields) <= _ENV_END:
        return False
    size, begin, end = (int(fields[i]) for i in (_VSIZE, _ENV_START, _ENV_END))
    # zombies and threads of the kernel have no memory; one started by `env -i` has an empty range
    return size > 0 and (end == 0 or begin < end)


def stat(pid: int) -> Optional[Stat]:
    """The kernel's data on `pid`; None if there is no such process, or no ``/proc``."""
    raw = read_proc("/proc/%d/stat" % pid)
    if not raw:
        return None
    # the command name may hold spaces and brackets: count from the last bracket
    fields = raw[raw.rindex(b")") + 2 :].split()
    cpu_ticks = int(fields[11]) + int(fields[12])
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]), cpu_ticks)


def argument_area() -> Optional[Tuple[int, int]]:
    """Where the arguments of this process begin and end in its memory; None if not known."""
    try:
        with open("/proc/self/stat", "rb") as f:
            fields = f.read().rpartition(b")")[2].split()
        first, end = int(fields[45]), int(fields[46])
    except (OSError, IndexError, ValueError):
        return None
    return (first, end) if 0 < first < end else None


@functools.lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's boot id and the start time of PID 1; "" if there is no boot id.

    The kernel's boot id alone stays the same if a container is restarted. No process sees two.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            kernel = f.read().strip()
    except OSError:
        return ""
    first = stat(1)
    return "%s/%d" % (kernel, first.start_ticks if first else 0)


def start_time(pid: int) -> str:
    """The start time of process `pid` of this machine, for comparison.

    "" if it has ended, as a zombie has, or if the time is not known: without ``/proc``, `ps` is
    run, and it may fail.
    """
    found = stat(pid)
    if found is not None:
        return "" if found.state in "ZX" else str(found.start_ticks)
    return "" if os.path.exists("/proc/self/stat") else _start_time_by_ps(pid)


def has_ended(pid: int, started: object) -> bool:
    """Whether the process `pid` of this machine that began at `started` is known to have ended.

    False if that is unknown: its start time cannot be read, or was not read.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # it exists and is another user's; or the number says nothing
    now = start_time(pid)
    if now:
        return bool(started) and now != started
    found = stat(pid)
    return found is not None and found.state in "ZX"


def _start_time_by_ps(pid: int) -> str:
    import subprocess

    try:
        found = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=10,
            env=environment.of_tool({"LC_ALL": "C", "TZ": "UTC"}),
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.decode("ascii", "replace").strip()
