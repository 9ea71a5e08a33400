"""A `python3` that kills its own process at the N-th call that others could see.

Installed by `CrashPoints`. It runs the agent, or pytest, in this very process, with the functions
replaced by which the product renames, links, removes and syncs files and sends on channels. Counted
are the calls of one process; only the first that reaches the number dies, as a fault that
comes again is another test. It imports nothing of ours, as pods run it isolated.
"""

import os
import runpy
import shutil  # noqa: F401 - it asks at its import what os.unlink can do
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

FOLDER = "@FOLDER@"
PYTHON = "@PYTHON@"
_CALLS = ("rename", "replace", "link", "unlink", "remove", "fsync", "write")
_SENDS = ("send", "sendall", "sendto", "sendmsg")
_WORDS = {
    "serve": "agent",
    "operation": "agent",
    "archive": "agent",
    "queue": "supervisor",
    "attempt": "runner",
}


def role(words: list[str]) -> str:
    """The role of the process that runs `words`; '' where it is none of ours."""
    if "-m" in words and "pytest" in words:
        return "controller"
    for place, word in enumerate(words):
        if word.endswith(".pyz"):
            # the launcher's path is followed by a digest and a size
            return next((_WORDS[later] for later in words[place + 1 :] if later in _WORDS), "")
    return ""


class Counter:
    """Counts this process's calls, and kills it at the planned one; in a fork it begins anew."""

    def __init__(self, mine: str) -> None:
        self._begin(mine)
        os.register_at_fork(after_in_child=lambda: self._begin(""))

    def _begin(self, mine: str) -> None:
        self._mine = mine
        self._lock = threading.Lock()
        self._count = 0
        with open(os.path.join(FOLDER, "plan")) as f:
            planned, at = f.read().split()
        self._at = int(at) if planned == mine else 0
        self._is_noted = planned == "count"

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, counted under `name`."""

        def counting(*words: Any, **more: Any) -> Any:
            self._take(name)
            return call(*words, **more)

        for known in (os.supports_dir_fd, os.supports_follow_symlinks):
            if call in known:
                known.add(counting)
        return counting

    def _take(self, name: str) -> None:
        if not self._mine:
            self._begin(role(sys.argv))  # a fork, which has shown by now what it runs
        with self._lock:
            self._count += 1
            if self._count == self._at and self._is_first():
                os.kill(os.getpid(), signal.SIGKILL)
            if self._is_noted:
                self._note("calls", name)

    def _is_first(self) -> bool:
        try:
            os.close(os.open(os.path.join(FOLDER, "died"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _note(self, file: str, name: str) -> None:
        with open(os.path.join(FOLDER, file), "a") as f:
            f.write(f"{self._mine} {self._count} {name}\n")


def main(words: list[str]) -> None:
    """Run what Python would run with `words`, counted where it has a role."""
    mine = role(words)
    words = [word for word in words if word not in ("-I", "-S")]
    if not mine and not any(word.endswith(".pyz") for word in words):
        os.execv(PYTHON, [PYTHON, *sys.argv[1:]])
    sys.executable = os.path.abspath(__file__)
    if mine:
        counter = Counter(mine)
        for name in _CALLS:
            setattr(os, name, counter.counted(name, getattr(os, name)))
        for name in _SENDS:
            setattr(socket.socket, name, counter.counted(name, getattr(socket.socket, name)))
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
