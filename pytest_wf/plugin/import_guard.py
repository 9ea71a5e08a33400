"""Sees to it that a plan contacts nothing: a flow's modules are imported to make it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["nothing_is_contacted"]

_CONTACTS = frozenset({"os.system", "socket.connect", "subprocess.Popen"})


class _Watch:
    """One audit hook for the whole process, as hooks cannot be removed; armed at need."""

    def __init__(self) -> None:
        self.is_armed = False
        self._is_installed = False

    def install(self) -> None:
        """Install the hook, once."""
        if not self._is_installed:
            sys.addaudithook(self._audit)
            self._is_installed = True

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self.is_armed and event in _CONTACTS:
            raise RuntimeError(
                f"{event} during collection: a flow's modules are imported to make the plan, "
                "and a plan contacts nothing. Move it into a phase."
            )


_watch = _Watch()


@contextmanager
def nothing_is_contacted() -> Iterator[None]:
    """While the block runs, opening a connection or starting a process is a RuntimeError."""
    _watch.install()
    _watch.is_armed = True
    try:
        yield
    finally:
        _watch.is_armed = False
