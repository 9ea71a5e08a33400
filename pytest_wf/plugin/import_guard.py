"""Forbids connections and processes while a flow's modules are imported for the plan."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CONTACTS = frozenset({"os.system", "socket.connect", "subprocess.Popen"})


class _AuditHook:
    """One audit hook per process, as hooks cannot be removed; enabled when needed."""

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
                "and a plan must not contact anything. Move it into a phase."
            )


_hook = _AuditHook()


@contextmanager
def contacts_forbidden() -> Iterator[None]:
    """Raise RuntimeError if the block opens a connection or starts a process."""
    _hook.install()
    _hook.is_armed = True
    try:
        yield
    finally:
        _hook.is_armed = False
