"""Collects a file's mistakes, so that all of them are reported at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pytest_wf.errors import InputError, Problem

#: The most problems shown: a file that is wrong in every line is not repeated line by line.
MAX_PROBLEMS = 200


class Problems:
    """The mistakes found in one file so far."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._found: list[Problem] = []
        self._left_out = 0

    @property
    def full(self) -> bool:
        """Whether enough problems were found to stop looking."""
        return len(self._found) >= MAX_PROBLEMS

    def __len__(self) -> int:
        return len(self._found) + self._left_out

    def add(
        self,
        line: int | None,
        key: str,
        value: str | None,
        reason: str,
        remedy: str,
    ) -> None:
        """Add a mistake; `value` is None if it must not be shown."""
        if self.full:
            self._left_out += 1
            return
        self._found.append(Problem(self.origin, line, key, value, reason, remedy))

    def sorted(self) -> list[Problem]:
        """All mistakes in the order of their lines, those without a line last."""
        found = sorted(self._found, key=lambda p: (p.line is None, p.line or 0))
        if self._left_out:
            found.append(
                Problem(
                    self.origin,
                    None,
                    "",
                    None,
                    f"{self._left_out} more problems are not shown.",
                    "Correct these first.",
                )
            )
        return found

    def raise_if_any(self) -> None:
        """Raise InputError with all of them, if there are any."""
        if self._found:
            raise InputError(self.sorted())


def nearest(name: str, names: Iterable[str]) -> str:
    """'Did you mean X? ' for the closest of `names`; empty if none is close."""
    close = difflib.get_close_matches(name, list(names), cutoff=0.7)
    return f"Did you mean {close[0]}? " if close else ""


def visible(text: str) -> str:
    """`text` in ASCII; invisible and ambiguous characters are spelled out."""
    return text.encode("unicode_escape").decode("ascii")
