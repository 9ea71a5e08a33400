"""The processes of a project and of its pod, by what they do."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

#: The words behind the agent's path, and what such a process is called here.
_WORDS = {
    b"serve": "agent",
    b"operation": "operation",
    b"archive": "archive",
    b"queue": "supervisor",
    b"attempt": "runner",
}


def below(base: Path) -> dict[int, list[bytes]]:
    """Arguments of every living process whose arguments or working directory name `base`."""
    found = {}
    mine = os.fsencode(base)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            argv = _argv(entry)
            if argv and (any(mine in word for word in argv) or _works_in(entry, str(base))):
                found[int(entry.name)] = argv
    return found


def role(argv: list[bytes]) -> str:
    """What a process of `argv` does: agent, supervisor, runner, trainer, tmux, …; else ''."""
    if b"train.py" in argv:
        return "trainer"
    if argv[0].endswith(b"tmux") or argv[0].startswith(b"tmux"):
        return "tmux"
    for before, word in pairwise(argv):
        if before.endswith(b".pyz"):
            return _WORDS.get(word, "")
    return ""


def of_role(base: Path, name: str) -> list[int]:
    """Pids of the living processes of this role."""
    return sorted(pid for pid, argv in below(base).items() if role(argv) == name)


def of_flows(base: Path) -> dict[int, list[bytes]]:
    """All that runs below `base` on either side but SSH servers, with its arguments."""
    return {pid: argv for pid, argv in below(base).items() if not _is_server(argv)}


def of_pod(base: Path) -> list[int]:
    """Pids of all that runs below `base` but servers, controllers and what these started."""
    return [pid for pid, argv in below(base).items() if not _is_of_controller(argv)]


def _is_of_controller(argv: list[bytes]) -> bool:
    """Whether `argv` is a flow, a `wf` command, their helpers, or an SSH server."""
    mine = (b"pytest", b"pytest_wf.auditor", b"pytest_wf.notify.process")
    return _is_server(argv) or any(word in mine for word in argv)


def _is_server(argv: list[bytes]) -> bool:
    """Whether it serves SSH, or is the machine that does; a listener's arguments are its title."""
    return argv[0].startswith((b"sshd", b"/usr/sbin/sshd", b"nsenter", b"unshare"))


def _argv(entry: Path) -> list[bytes]:
    """Arguments of a process; none of a zombie, or of one that is gone."""
    try:
        return [word for word in (entry / "cmdline").read_bytes().split(b"\0") if word]
    except OSError:
        return []


def _works_in(entry: Path, base: str) -> bool:
    try:
        return os.readlink(entry / "cwd").startswith(base)
    except OSError:
        return False
