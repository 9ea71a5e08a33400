"""Ends a cluster of the tests when the process that started it is gone: ``CONF PARENT``.

A pytest that is ended by SIGTERM or SIGKILL stops no fixture. `tests.support.slurm` starts this
beside the daemons, and ends it when it has stopped the cluster itself.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import until


def members(conf: Path) -> set[int]:
    """The processes of the cluster with that configuration, and all below them."""
    mark = f"SLURM_CONF={conf}".encode()
    found: set[int] = set()
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit():
                pid = int(entry.name)
                parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(pid)
    below = set(found)
    while below:
        below = {pid for pid, parent in parents.items() if parent in below} - found
        found |= below
    return found - {os.getpid()}


def end(conf: Path) -> None:
    """End every process of the cluster with that configuration."""

    def are_gone() -> bool:
        left = members(conf)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    until(are_gone, "no process of the cluster is left")


def main(conf: Path, parent: int) -> None:
    """Wait for the end of `parent`, then end the cluster and remove its folder."""
    with suppress(ProcessLookupError):
        watched = os.pidfd_open(parent)
        if os.getppid() == parent:
            select.select([watched], [], [])
    end(conf)
    shutil.rmtree(conf.parent, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
