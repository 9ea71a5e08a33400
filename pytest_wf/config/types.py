"""Types of config values: a `Kind` is a type with its reasons and remedies."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

#: Larger numbers overflow the timers of operating systems.
_MAX_WHOLE = 999_999_999


class BadValue(ValueError):
    """A value is not of its kind: the reason and the remedy."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}")
        self.reason = f"{reason}."
        self.remedy = remedy


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A type of value: its name in the docs, and its parser, which raises BadValue."""

    name: str
    parse: Callable[[str], T]
    #: Whether messages may show a wrong value; False if a secret is easily pasted there.
    shown: bool = True
    #: Text in another language, a shell command or a pattern: taken verbatim, never expanded.
    verbatim: bool = False


def canonical(value: object) -> str:
    """A parsed value as its canonical string on the pod."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, tuple):
        return " ".join(value)
    return str(value)


def maybe(kind: Kind[T]) -> Kind[T | None]:
    """`kind`, or None where the value is empty."""
    return Kind(f"{kind.name}, or empty", lambda text: kind.parse(text) if text else None)


def or_empty(kind: Kind[str]) -> Kind[str]:
    """`kind`, or the empty text."""
    return Kind(
        f"{kind.name}, or empty",
        lambda text: kind.parse(text) if text else "",
        verbatim=kind.verbatim,
    )


def whole(least: int, most: int = _MAX_WHOLE, *, remedy: str) -> Kind[int]:
    """A whole number in ASCII digits."""
    span = f">= {least}" if most == _MAX_WHOLE else f"from {least} to {most}"

    def parse(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,12}", text) and least <= int(text) <= most:
            return int(text)
        raise BadValue(f"not a whole number {span}", remedy)

    return Kind(f"whole number {span}", parse)


def version(current: int) -> Kind[int]:
    """The only version of something that this release supports."""

    def parse(text: str) -> int:
        if text == str(current):
            return current
        raise BadValue(
            f"this release enforces version {current}",
            f"Write {current}, or install the release that fits.",
        )

    return Kind(f"`{current}`", parse)


def choice(*names: str) -> Kind[str]:
    """Exactly one of `names`."""

    def parse(text: str) -> str:
        if text in names:
            return text
        raise BadValue(f"not one of {', '.join(names)}", f"Write {' or '.join(names)}.")

    return Kind(" or ".join(f"`{n}`" for n in names), parse)


def matching(name: str, pattern: str, reason: str, remedy: str) -> Kind[str]:
    """Text that `pattern` matches completely."""
    compiled = re.compile(pattern)

    def parse(text: str) -> str:
        if compiled.fullmatch(text):
            return text
        raise BadValue(reason, remedy)

    return Kind(name, parse)


def words(name: str, word: Kind[str], *, shown: bool = True) -> Kind[tuple[str, ...]]:
    """Words separated by blanks, each of kind `word`."""

    def parse(text: str) -> tuple[str, ...]:
        return tuple(word.parse(w) for w in text.split())

    return Kind(name, parse, shown)


def _flag(text: str) -> bool:
    if text in ("0", "1"):
        return text == "1"
    raise BadValue("neither 0 nor 1", "Write 1 for yes, 0 for no.")


FLAG = Kind("`0` or `1`", _flag)
TEXT: Kind[str] = Kind("text", str)
#: A command for the user's own shell on the pod.
COMMAND: Kind[str] = Kind("shell command on the pod", str, verbatim=True)
