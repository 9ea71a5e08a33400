"""A wall clock that is off, and may step: a library that programs are started with.

libfaketime is not used: its `select` and `poll` fail where the clock steps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset_s(void) {
    char text[32] = {0};
    const char *path = getenv("WF_TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(fd);
    return atol(text);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && id == CLOCK_REALTIME)
        now->tv_sec += offset_s();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *stored) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (stored)
        *stored = exact.tv_sec;
    return exact.tv_sec;
}
"""


def has_compiler() -> bool:
    """Whether the library can be made here."""
    return shutil.which("cc") is not None


class WallClock:
    """A wall clock for the programs that get `environ`; all other clocks are the machine's."""

    def __init__(self, folder: Path, offset_s: int = 0) -> None:
        self._file = folder / "clock"
        library = folder / "clock.so"
        argv = ["cc", "-shared", "-fPIC", "-o", str(library), "-x", "c", "-"]
        subprocess.run(argv, input=_SOURCE.encode(), check=True)
        self.environ = {"LD_PRELOAD": str(library), "WF_TEST_CLOCK": str(self._file)}
        self.set(offset_s)

    def set(self, offset_s: int) -> None:
        """Let it be off by so much from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(str(offset_s))
        os.replace(new, self._file)
