"""paramiko, imported without invoke, which takes as long again.

paramiko needs invoke only for ``Match exec`` in an ssh config, and `pods.ssh.config` reads ours.
Import this module in a function: only a connection needs paramiko.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["paramiko"]


class _WhenUsed(ModuleType):
    """Stands for a module, and imports it when something of it is first used."""

    def __getattr__(self, name: str) -> Any:
        _forget(self)
        return getattr(import_module(self.__name__), name)


def _forget(module: ModuleType) -> None:
    """Let the next import find the module itself."""
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


_invoke = _WhenUsed("invoke")
sys.modules.setdefault("invoke", _invoke)
try:
    import paramiko
finally:
    _forget(_invoke)
