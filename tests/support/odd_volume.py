"""File systems that do not keep what Linux promises, played by a library that is loaded first."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

#: What each of them does otherwise: renames by a copy, and so on.
KINDS = ("copies", "keeps-old", "not-new", "overwrites", "locks-all", "no-locks", "fails-to-flush")

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int is(const char *kind) {
    const char *played = getenv("ODD_VOLUME");
    return played && !strcmp(played, kind);
}

int rename(const char *from, const char *to) {
    int (*next)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    if (is("keeps-old"))
        return unlink(from);
    if (!is("copies"))
        return next(from, to);
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (!in || !out)
        return -1;
    for (int c; (c = fgetc(in)) != EOF;)
        fputc(c, out);
    fclose(in);
    fclose(out);
    return unlink(from);
}

int open64(const char *path, int flags, ...) {
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (is("not-new"))
        flags &= ~O_EXCL;
    if (is("overwrites"))
        flags &= ~O_APPEND;
    return next(path, flags, mode);
}

int flock(int fd, int how) {
    int (*next)(int, int) = dlsym(RTLD_NEXT, "flock");
    if (is("no-locks")) {
        errno = ENOLCK;
        return -1;
    }
    return is("locks-all") ? 0 : next(fd, how);
}

int fsync(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
    if (is("fails-to-flush")) {
        errno = EIO;
        return -1;
    }
    return next(fd);
}
"""


def has_compiler() -> bool:
    """Whether the library can be built here."""
    return shutil.which("cc") is not None


def environ(folder: Path, kind: str) -> dict[str, str]:
    """What a process needs in its environment to see file systems of `kind` alone."""
    source, library = folder / "odd_volume.c", folder / "odd_volume.so"
    source.write_text(_SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "ODD_VOLUME": kind}
