"""Folders deeper than one path can name."""

from __future__ import annotations

import os
from pathlib import Path


def make_file_below(folder: Path, name: str, levels: int) -> str:
    """Make a file `x` in so many folders called `name`, each in the one before; its path."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    return f"{name}/" * levels + "x"
