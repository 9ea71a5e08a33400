"""Which of a run's files are checkpoints: `CHECKPOINT_PATTERNS`."""

import re
from fnmatch import translate
from typing import Iterable, Pattern

_WILDCARD = re.compile(r"[*?\[]")


class Checkpoints:
    """Recognises checkpoints by their paths.

    A pattern is a shell pattern that matches the base name of a file at any depth, or of a
    folder if it ends in '/': everything below such a folder is a checkpoint.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = list(patterns)
        self._files = _matcher(p for p in patterns if not p.endswith("/"))
        folders = [p[:-1] for p in patterns if p.endswith("/")]
        self._folders = _matcher(folders)
        self._collections = frozenset(p for p in folders if not _WILDCARD.search(p))

    def of(self, path: str) -> str:
        """The checkpoint that the file `path` is, or belongs to: a folder's path ends in '/'.

        '' for any other file.
        """
        *folders, name = path.split("/")
        for depth, folder in enumerate(folders, 1):
            if self.has_folder(folder):
                return "/".join(folders[:depth]) + "/"
        return path if self.has_file(name) else ""

    def has_file(self, name: str) -> bool:
        """Whether a file of that base name is a checkpoint."""
        return self._files.fullmatch(name) is not None

    def has_folder(self, name: str) -> bool:
        """Whether everything below a folder of that base name belongs to checkpoints."""
        return self._folders.fullmatch(name) is not None

    def is_collection(self, name: str) -> bool:
        """Whether each entry of a folder of that base name is a checkpoint of its own.

        This holds for a pattern without a wildcard, such as ``checkpoints/``.
        """
        return name in self._collections


def _matcher(patterns: Iterable[str]) -> Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")
