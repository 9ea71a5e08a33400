"""The arguments of this process as `ps` and ``/proc`` show them."""

import os
from typing import Sequence

from pytest_wf.wire.process import argument_area, read_proc


def show(argv: Sequence[str]) -> None:
    """Show `argv` as the arguments of this process, cut to the space that it has for them.

    Without this a fork shows its parent's. If it is not possible, nothing changes.
    """
    area = argument_area()
    text = b"\0".join(word.encode("utf-8", "surrogateescape") for word in argv)
    if area is None or read_proc("/proc/self/cmdline") == text + b"\0":
        return
    first, end = area
    room = end - first
    try:
        fd = os.open("/proc/self/mem", os.O_WRONLY)
        try:
            # a byte other than NUL at the area's end makes the kernel read on past it
            os.pwrite(fd, text[: room - 1].ljust(room, b"\0"), first)
        finally:
            os.close(fd)
    except OSError:
        pass
