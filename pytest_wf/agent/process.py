"""Processes: start them in sessions of their own, run short ones, and end them with proof.

A process is known by its *identity* ``{pid, start_ticks, boot_id}``, as a pid alone is
reused. All processes of an attempt or operation carry one *cookie* in their environment:
torchrun's workers start sessions of their own, which a process group does not reach. A process that
clears its environment is still in the control group of that name, if one could be made. It is also
a descendant of the runner, which is a subreaper.
"""

import os
import signal
import subprocess
import sys
import time
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set

from pytest_wf.wire import environment
from pytest_wf.wire.process import Stat, boot_id, environ_of, read_proc, stat

#: The environment variable that marks all processes of one attempt or operation.
COOKIE = "WF_COOKIE"
#: This prefix and a cookie name the control group with the processes of that attempt or task.
GROUP_PREFIX = "wf."
_PR_SET_CHILD_SUBREAPER = 36

Identity = Dict[str, Any]

# Started by this process and not yet reaped; kept so that they leave no zombies for long.
# A fork has no Popen.
_children: Dict[int, Optional["subprocess.Popen[bytes]"]] = {}
_is_subreaper = False

_FROM_SOURCE = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('pytest_wf.agent', run_name='__main__', alter_sys=True)"
)


def agent_argv(*words: str) -> List[str]:
    """The command line that runs this same agent with `words`, from its zipapp or from source.

    Without `site`: installed packages are not needed, and looking through them may take long.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    root = os.path.dirname(package)
    if os.path.isdir(root):
        return [sys.executable, "-I", "-S", "-c", _FROM_SOURCE, root, *words]
    return [sys.executable, "-I", "-S", root, *words]


def is_in_memory() -> bool:
    """Whether this agent is in no file, as it was started where nothing may be written."""
    return os.path.abspath(__file__).startswith("/proc/self/fd/")


class Output(NamedTuple):
    """How a short command ended."""

    #: The exit status; None if it could not be started or timed out.
    code: Optional[int]
    stdout: str
    #: What it wrote to stderr, or why there is no exit status.
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.code == 0


def output(
    argv: Sequence[str],
    timeout_s: Optional[float],
    *,
    env: Optional[Mapping[str, str]] = None,
    pass_fds: Sequence[int] = (),
    errors: str = "replace",
) -> Output:
    """Run a short command to its end, with nothing on its stdin. Does not raise.

    The default of `env` is `environment.of_tool`; `errors` says how to decode bytes that are not
    UTF-8.
    """
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            env=environment.of_tool() if env is None else dict(env),
            pass_fds=pass_fds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        return Output(None, "", str(e))
    stdout, stderr = (raw.decode("utf-8", errors) for raw in (done.stdout, done.stderr))
    return Output(done.returncode, stdout, stderr)


def identity(pid: int) -> Identity:
    """The identity of the process `pid`; `start_ticks` is -1 if it is already gone."""
    found = stat(pid)
    return {"pid": pid, "start_ticks": found.start_ticks if found else -1, "boot_id": boot_id()}


def is_alive(known: Mapping[str, Any]) -> bool:
    """Whether the process `known` still runs: not a zombie, nor another process of that pid."""
    try:
        pid, ticks = int(known["pid"]), int(known["start_ticks"])
    except (KeyError, TypeError, ValueError):
        return False
    found = stat(pid)
    if found is None or found.state in "ZX" or known.get("boot_id") != boot_id():
        return False
    return found.start_ticks == ticks


def cookie_env(cookie: str, name: str = COOKIE) -> Dict[str, str]:
    """This process's environment, marked with `cookie`."""
    return dict(os.environ, **{name: cookie})


def spawn_session(
    argv: Sequence[str],
    *,
    log_path: str,
    stdin: Optional[bytes] = None,
    env: Optional[Mapping[str, str]] = None,
    cwd: Optional[str] = None,
) -> Identity:
    """Start `argv` in a session of its own and return at once.

    Its stdout and stderr are appended to `log_path`; `stdin` is its standard input (empty by
    default). No other descriptor is inherited. Raises OSError.
    """
    reap()
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            close_fds=True,
        )
    finally:
        os.close(log)
    _children[child.pid] = child
    known = identity(child.pid)
    if stdin is not None and child.stdin is not None:
        try:
            child.stdin.write(stdin)
            child.stdin.close()
        except BrokenPipeError:
            pass
    return known


def adopt(pid: int) -> Identity:
    """Treat a new fork of this process as one that `spawn_session` started."""
    reap()
    _children[pid] = None
    return identity(pid)


def forget() -> None:
    """Forget, in a fork, the children of the parent and that the parent is a subreaper."""
    global _is_subreaper  # noqa: PLW0603 - a property of the process
    for child in _children.values():
        if child is not None:
            child.returncode = 0  # not to be waited for
    _children.clear()
    _is_subreaper = False


def is_child(known: Mapping[str, Any]) -> bool:
    """Whether `known` was started by this process and is not reaped yet."""
    return known.get("pid") in _children


def holders(cookie: str, name: str = COOKIE) -> Set[int]:
    """Pids of the living processes that carry `cookie`, except this one.

    They have it in their environment, or are in the control group with its name.
    """
    group = (GROUP_PREFIX + cookie).encode()
    found = marked(cookie, name)
    for pid in _pids():
        cgroup = _proc(pid, "cgroup")
        if group in cgroup and any(group in line.split(b"/") for line in cgroup.splitlines()):
            found.add(pid)
    return living(found)


def marked(cookie: str, name: str = COOKIE) -> Set[int]:
    """Pids of the processes that have `cookie` in their environment."""
    entry = ("%s=%s" % (name, cookie)).encode()
    found = set()
    for pid in _pids():
        environ = environ_of(pid)
        if entry in environ and entry in environ.split(b"\0"):
            found.add(pid)
    return found


def living(pids: Iterable[int]) -> Set[int]:
    """Those of `pids` that live, except this process."""
    return {pid for pid in pids if pid != os.getpid() and _lives(pid)}


def become_subreaper() -> None:
    """Become the parent of this process's orphaned descendants, if the kernel supports it.

    `descendants` then finds them, whatever session or environment they have.
    """
    global _is_subreaper  # noqa: PLW0603 - a property of the process
    try:
        import ctypes

        done = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
    _is_subreaper = done == 0


def descendants() -> Set[int]:
    """Living descendants of this subreaper: all that its commands started and left behind.

    Left out, with their descendants, are processes in its own session, which are its short
    commands, and those that `spawn_session` started, which have an identity of their own.
    """
    if not _is_subreaper:
        return set()
    mine, me, table = os.getsid(0), os.getpid(), _table()
    below = {pid for pid, s in table.items() if s.parent == me and s.session != mine}
    return _kin(below - _children.keys(), table)


def reap_orphans(*known: int) -> None:
    """Reap the orphans of this subreaper that have ended; `known` are reaped by others."""
    while _is_subreaper:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known or ended.si_pid in _children:
            return
        found = stat(ended.si_pid)
        if found is None or found.session == os.getsid(0):
            return
        os.waitid(os.P_PID, ended.si_pid, os.WEXITED | os.WNOHANG)


def reap() -> None:
    """Reap the processes that this process started and that have ended."""
    for pid, child in list(_children.items()):
        ended = _reaped(pid) if child is None else child.poll() is not None
        if ended:
            del _children[pid]


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def wait_for_threads(known: Mapping[str, Any], timeout_s: float = 5.0) -> None:
    """Wait until every thread of `known` has ended, if `spawn_session` here started it.

    Until then its children are not inherited, although the process counts as dead.
    """
    deadline = time.monotonic() + timeout_s
    while is_child(known) and time.monotonic() < deadline:
        reap()
        time.sleep(0.002)


def orphan_status(pid: int) -> Optional[int]:
    """Exit status of the orphan `pid` of this subreaper; None if it still runs or is not one."""
    if not _is_subreaper or pid in _children:
        return None
    return wait_status(pid, keep=True, block=False)


def wait_status(pid: int, *, keep: bool = False, block: bool = True) -> Optional[int]:
    """Exit status of the child `pid`, as in `Popen.returncode`; None if it still runs.

    None also if `pid` is not a child. With `keep` it stays a zombie, whose status can be read
    again, also by the subreaper that inherits it from a killed parent.
    """
    options = os.WEXITED | (os.WNOWAIT if keep else 0) | (0 if block else os.WNOHANG)
    try:
        ended = os.waitid(os.P_PID, pid, options)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def kill_tree(
    cookie: str,
    known: Optional[Mapping[str, Any]],
    grace_s: float,
    *,
    name: str = COOKIE,
    settle_s: float = 10.0,
) -> List[int]:
    """End all processes that carry `cookie`, and `known` with its descendants.

    In a subreaper, its `descendants` too. SIGTERM, up to `grace_s` seconds, then SIGKILL until a
    scan of ``/proc`` finds none. Returns the pids that could not be ended within another `settle_s`
    seconds; an empty result is proof.
    """
    seen: Dict[int, int] = {}
    _find(cookie, name, known, seen)
    for pid in list(seen):
        _signal(pid, seen[pid], signal.SIGTERM)
        _signal(pid, seen[pid], signal.SIGCONT)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and _find(cookie, name, known, seen):
        time.sleep(0.05)
    deadline = time.monotonic() + settle_s
    while True:
        left = _find(cookie, name, known, seen)
        if not left or time.monotonic() > deadline:
            return sorted(left)
        for pid in left:
            _signal(pid, seen[pid], signal.SIGKILL)
        time.sleep(0.02)


def _find(
    cookie: str, name: str, known: Optional[Mapping[str, Any]], seen: Dict[int, int]
) -> Set[int]:
    """Those still alive; `seen` keeps each with its start time, so that no other process is hit."""
    found = holders(cookie, name) if cookie else set()
    if known is not None and is_alive(known):
        found.add(int(known["pid"]))
    found.update(descendants())
    found.update(pid for pid, ticks in seen.items() if _lives(pid, ticks))
    found.update(_kin(found, _table()))
    found.discard(os.getpid())
    for pid in found:
        now = stat(pid)
        if now is not None:
            seen[pid] = now.start_ticks
    return {pid for pid in found if pid in seen and _lives(pid, seen[pid])}


def _kin(roots: Set[int], table: Dict[int, Stat]) -> Set[int]:
    """Descendants of `roots` in a table of processes, and members of the sessions they lead."""
    wanted = roots - {os.getpid()}
    grew = bool(wanted)
    while grew:
        more = {
            pid
            for pid, s in table.items()
            if pid not in wanted and (s.parent in wanted or s.session in wanted)
        }
        wanted |= more
        grew = bool(more)
    return {pid for pid in wanted if pid in table and table[pid].state not in "ZX"}


def _table() -> Dict[int, Stat]:
    return {pid: s for pid, s in ((p, stat(p)) for p in _pids()) if s is not None}


def _proc(pid: int, name: str) -> bytes:
    return read_proc("/proc/%d/%s" % (pid, name)) or b""


def _lives(pid: int, ticks: Optional[int] = None) -> bool:
    found = stat(pid)
    return (
        found is not None
        and found.state not in "ZX"
        and (ticks is None or found.start_ticks == ticks)
    )


def _signal(pid: int, ticks: int, number: int) -> None:
    if _lives(pid, ticks):
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def _pids() -> List[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
