"""The arguments of this process as `ps` and ``/proc`` show them."""

from typing import Sequence

from pytest_wf.wire.process import argument_area


def show(argv: Sequence[str]) -> None:
    """Show `argv` as the arguments of this process, cut to the room that it has for them.

    A fork has its parent's otherwise. Where that is not possible nothing changes.
    """
    area = argument_area()
    if area is None:
        return
    first, end = area
    try:
        import ctypes

        room = end - first
        text = b"\0".join(word.encode("utf-8", "surrogateescape") for word in argv)
        # a byte other than NUL at the area's end makes the kernel read on behind it
        ctypes.memmove(first, text[: room - 1].ljust(room, b"\0"), room)
    except ImportError:
        pass
