"""A slow disk: a library, loaded first, in which each fsync takes longer and is counted."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int slowly(const char *name, int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, name);
    struct timespec wait = {0, %d};
    int log = open(getenv("BENCH_FSYNCS"), O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (log >= 0) {
        if (write(log, ".", 1) < 0) {}
        close(log);
    }
    nanosleep(&wait, 0);
    return next(fd);
}

int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
"""


class SlowDisk:
    """What one side's processes have in their environment to see a slow disk."""

    def __init__(self, folder: Path, fsync_ms: int) -> None:
        folder.mkdir()
        source, library = folder / "slow_disk.c", folder / "slow_disk.so"
        source.write_text(_SOURCE % (fsync_ms * 1_000_000))
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self._log = folder / "fsyncs"
        self.environ = {"LD_PRELOAD": str(library), "BENCH_FSYNCS": str(self._log)}

    def fsyncs(self) -> int:
        """How many there were since the last question."""
        count = self._log.stat().st_size if self._log.exists() else 0
        self._log.write_bytes(b"")
        return count
