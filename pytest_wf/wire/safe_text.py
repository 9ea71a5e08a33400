"""Text from elsewhere, made fit to be shown: it must not steer a terminal or break a file."""

from __future__ import annotations

import re
from typing import Protocol

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
#: The beginning of an escape whose end may be still to come.
_BEGUN = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*|\][^\x07\x1b]*\x1b?)?")
_MOST_HELD = 4096
_QUOTED = re.compile(rb"%([0-9A-F]{2})")
#: Characters that steer a terminal, or turn the order of those around them; not tab and newline.
CONTROLS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff"
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]"
)


def readable(text: str) -> str:
    """`text` without terminal escapes, other control characters made visible.

    What remains is legal in XML 1.0 too.
    """
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def quoted(name: str) -> str:
    """The name of a file as text that `readable` leaves as it is; `unquoted` gives it back.

    What cannot be printed, and '%', is written as '%' and two hex digits for each byte.
    """
    if name.isprintable() and "%" not in name:
        return name
    return "".join(c if c.isprintable() and c != "%" else _hex(c) for c in name)


def unquoted(text: str) -> str:
    """The name that `quoted` made `text` of. Raises ValueError for what is no such text."""
    if "%" not in text:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    if raw.count(b"%") != len(_QUOTED.findall(raw)):
        raise ValueError("a '%' without two digits")
    raw = _QUOTED.sub(lambda digits: bytes([int(digits.group(1), 16)]), raw)
    return raw.decode("utf-8", "surrogateescape")


def _hex(character: str) -> str:
    return "".join(["%%%02X" % byte for byte in character.encode("utf-8", "surrogateescape")])


class Out(Protocol):
    """Where text is written."""

    def write(self, text: str, /) -> object:
        """Write a part of it."""

    def flush(self) -> None:
        """Hand on what was written."""


class ReadableText:
    """A text file of `out` that makes all that is written to it `readable`.

    An escape may come in two pieces: what may be the beginning of one waits for the next.
    """

    def __init__(self, out: Out) -> None:
        self._out = out
        self._held = ""

    def write(self, text: str) -> None:
        """Write `text`, but for what has to wait."""
        text, self._held = self._held + text, ""
        at = text.rfind("\x1b")
        if text.endswith("\r"):
            at = len(text) - 1
        elif at < 0 or len(text) - at > _MOST_HELD or _BEGUN.fullmatch(text, at) is None:
            at = len(text)
        text, self._held = text[:at], text[at:]
        self._out.write(readable(text))

    def flush(self) -> None:
        """Hand on what was written."""
        self._out.flush()

    def end(self) -> None:
        """Write the text that was held back."""
        self._out.write(readable(self._held))
        self._held = ""
        self._out.flush()
