"""CPU time and memory of all processes of one way to do something, on both of its sides."""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_numbers = itertools.count()
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class Group:
    """Processes that are started with the words `inside`, and whatever these start.

    A cgroup counts all of them, detached ones included. Where none can be made, the processes that
    this one has waited for are counted instead, and `how` says so.
    """

    def __init__(self) -> None:
        self._folder = _new_cgroup()
        #: What a command is started with.
        self.inside: Sequence[str] = ()
        #: How the CPU time is found.
        self.how = "children that ended; detached processes and SSH servers are missing"
        if self._folder is not None:
            self.inside = ("sh", "-c", _ENTER, str(self._folder))
            self.how = "cgroup of both sides"

    def cpu_s(self) -> float:
        """CPU seconds, user's and system's, so far."""
        if self._folder is None:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            return used.ru_utime + used.ru_stime
        lines = (self._folder / "cpu.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("usage_usec")) / 1e6

    def pids(self) -> list[int]:
        """The processes that are in it now; none where there is no cgroup."""
        if self._folder is None:
            return []
        files = [self._folder / "cgroup.procs", *self._folder.glob("**/cgroup.procs")]
        found: set[int] = set()
        for file in files:
            with suppress(OSError):
                found.update(int(pid) for pid in file.read_text().split())
        return sorted(found)

    def close(self) -> None:
        """Remove the cgroup, once it is empty; what stays in it for long goes to the one above."""
        if self._folder is None:
            return
        end = time.monotonic() + 10
        while (left := self.pids()) and time.monotonic() < end:
            time.sleep(0.02)
        for pid in left:
            with suppress(OSError):
                (self._folder.parent / "cgroup.procs").write_text(str(pid))
        folders = sorted(p for p in self._folder.glob("**/") if p != self._folder)
        for folder in [*reversed(folders), self._folder]:
            with suppress(OSError):
                folder.rmdir()


def _new_cgroup() -> Path | None:
    """A new cgroup below this process's own one; None where that cannot be had."""
    above = _own_cgroup()
    if above is None:
        return None
    folder = above / f"wf-bench-{os.getpid()}-{next(_numbers)}"
    try:
        folder.mkdir()
    except OSError:
        return None
    entered = subprocess.run(["sh", "-c", _ENTER, str(folder), "true"], capture_output=True)
    if entered.returncode == 0 and "usage_usec" in (folder / "cpu.stat").read_text():
        return folder
    folder.rmdir()
    return None


def _own_cgroup() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            own = next(
                (x[3:] for x in Path("/proc/self/cgroup").read_text().split() if x[:3] == "0::"),
                None,
            )
            return None if own is None else Path(line.split()[4] + own)
    return None
