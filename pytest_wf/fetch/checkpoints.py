"""Which of a run's files are checkpoints: `CHECKPOINT_PATTERNS`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate


class Checkpoints:
    """Tells checkpoints by their paths.

    A pattern is a shell pattern that matches the base name of a file at any depth, or of a
    folder where it ends in '/': all below such a folder is a checkpoint.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = list(patterns)
        self._files = _matcher(p for p in patterns if not p.endswith("/"))
        self._folders = _matcher(p[:-1] for p in patterns if p.endswith("/"))

    def of(self, path: str) -> str:
        """The checkpoint that the file `path` is, or belongs to: a folder's path ends in '/'.

        '' for a file that is none.
        """
        *folders, name = path.split("/")
        for depth, folder in enumerate(folders, 1):
            if self._folders.fullmatch(folder):
                return "/".join(folders[:depth]) + "/"
        return path if self._files.fullmatch(name) else ""


def _matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")
