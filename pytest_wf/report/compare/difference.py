"""Names whose values differ between flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: In place of a value that a flow does not have.
MISSING = "not set"


class Difference(NamedTuple):
    """A name and its value in each flow."""

    name: str
    #: In the order of the flows.
    texts: tuple[str, ...]


def differences(values: Sequence[Mapping[str, str]]) -> list[Difference]:
    """The names whose values are not the same in all of `values`, in alphabetical order."""
    found = []
    for name in sorted({name for one in values for name in one}):
        texts = tuple(one.get(name, MISSING) for one in values)
        if len(set(texts)) > 1:
            found.append(Difference(name, texts))
    return found
