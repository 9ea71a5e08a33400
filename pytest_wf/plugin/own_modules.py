"""Imports of this package as Python makes them, without pytest's rewriting of asserts.

pytest rewrites the modules of all plugins. A flow imports 300 of ours, and none needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_OURS = __name__.partition(".")[0] + "."


class OwnModules:
    """Finds the modules of this package, before pytest's own finder does."""

    @classmethod
    def install(cls) -> Callable[[], None]:
        """Begin; the answer ends it."""
        finder = cls()
        sys.meta_path.insert(0, finder)
        return lambda: sys.meta_path.remove(finder)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of ours is; None for all others."""
        return PathFinder.find_spec(name, path, target) if name.startswith(_OURS) else None
