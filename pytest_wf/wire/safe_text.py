"""Makes text from elsewhere safe to show: it must not control a terminal or break a file."""

from __future__ import annotations

import re
from typing import List, Protocol

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
#: The beginning of an escape whose end may follow.
_BEGUN = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*|\][^\x07\x1b]*\x1b?)?")
_MOST_HELD = 4096
_QUOTED = re.compile(rb"%([0-9A-F]{2})")
#: Characters that control a terminal, or change the order of text; not tab and newline.
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
    """The name from which `quoted` made `text`. Raises ValueError for any other text."""
    if "%" not in text:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    if raw.count(b"%") != len(_QUOTED.findall(raw)):
        raise ValueError("a '%' without two digits")
    raw = _QUOTED.sub(lambda digits: bytes([int(digits.group(1), 16)]), raw)
    return raw.decode("utf-8", "surrogateescape")


def _hex(character: str) -> str:
    return "".join(["%%%02X" % byte for byte in character.encode("utf-8", "surrogateescape")])


#: A line that states an error: of a program, a traceback or a shell that gives up.
_ERROR_LINE = re.compile(
    r"^\W*(?:error|fatal|failed|failure|e:|abort(?:ed)?|panic|critical)\b"
    r"|\b(?:error|fatal|critical)\]?:"
    r"|^\s*(?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception)\b"
    r"|\b(?:command not found|no such file or directory|permission denied|cannot|could not)\b",
    re.IGNORECASE,
)
_GAP = "[\u2026]"


def excerpt(text: str, most: int = 500) -> str:
    """The decisive lines of a program's output, joined by ' / ' into one line.

    The first line that states an error, then the last lines, as many as fit into `most`
    characters; '[\u2026]' stands for lines left out between them. A line that is longer than that
    is cut at its end. '' for no text.
    """
    lines = [line for line in (" ".join(raw.split()) for raw in text.splitlines()) if line]
    lines = [line if len(line) <= most else line[:most] + "\u2026" for line in lines]
    first = next((n for n, line in enumerate(lines) if _ERROR_LINE.search(line)), None)
    head = [] if first is None else [lines[first]]
    rest = lines if first is None else lines[first + 1 :]
    left = most - sum(map(len, head))
    last: List[str] = []
    for line in reversed(rest):
        left -= len(line) + 3
        if left < 0 and (head or last):
            break
        last.insert(0, line)
    gap = [_GAP] if head and len(last) < len(rest) else []
    return " / ".join(head + gap + last)


class Out(Protocol):
    """A destination of text."""

    def write(self, text: str, /) -> object:
        """Write a part of the text."""

    def flush(self) -> None:
        """Pass on what was written."""


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
        """Pass on what was written."""
        self._out.flush()

    def end(self) -> None:
        """Write the text that was held back."""
        self._out.write(readable(self._held))
        self._held = ""
        self._out.flush()
