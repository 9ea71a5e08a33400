"""Text that every machine has: the source of Python's own standard library."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable

#: The alphabet: what a line of source is made of. All else reads as the last character.
ALPHABET = "\n" + "".join(chr(c) for c in range(32, 127)) + "\x7f"

_MODULES = "argparse ast calendar cmd codecs configparser csv dataclasses difflib doctest"
_MODULES += " enum fractions ftplib functools gettext heapq inspect mailbox optparse os"
_MODULES += " pickle platform plistlib random shutil statistics string tarfile typing zipfile"


def load(max_chars: int) -> tuple[list[int], list[int]]:
    """Training and validation text (nine parts and one) as indices into `ALPHABET`.

    The same on every call under one Python. Raises FileNotFoundError where Python came
    without its sources.
    """
    text = "".join(_sources(_MODULES.split()))[:max_chars]
    if len(text) < 1000:
        raise FileNotFoundError(f"no sources of the standard library in {_library()}")
    index = {c: i for i, c in enumerate(ALPHABET)}
    codes = [index.get(c, len(ALPHABET) - 1) for c in text]
    cut = len(codes) * 9 // 10
    return codes[:cut], codes[cut:]


def _library() -> Path:
    return Path(os.__file__).parent


def _sources(modules: Iterable[str]) -> Iterable[str]:
    for name in modules:
        path = _library() / f"{name}.py"
        if path.is_file():
            yield path.read_text(encoding="utf-8", errors="replace")
