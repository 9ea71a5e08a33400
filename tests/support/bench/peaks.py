"""The highest values of what is looked at several times a second."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def highest(look: Callable[[], Mapping[str, float]], found: dict[str, float]) -> Iterator[None]:
    """Note in `found` the highest value of each name that `look` gives.

    A look that meets a process that has just ended does not count.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            with suppress(OSError, StopIteration):
                for name, value in look().items():
                    found[name] = max(found.get(name, 0.0), value)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def words_of(pid: int) -> list[str]:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")


def status_of(pid: int) -> dict[str, str]:
    """The fields of a process's ``status``, by name."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)


def peak_mb(status: Mapping[str, str]) -> float:
    """The most memory that a process has had, in MB. Raises StopIteration for a zombie."""
    return next(int(text.split()[0]) for name, text in status.items() if name == "VmHWM") / 1000
