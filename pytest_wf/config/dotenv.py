"""The strict KEY=VALUE reader: every line is accounted for, nothing is executed or expanded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pytest_wf.config.problems import Problems, nearest, visible

#: The largest config that is read.
MAX_BYTES = 1024 * 1024

#: The remedy for a secret in the config.
HAND_OVER = (
    "Put the value into your environment and the variable's name into WF_SECRET_ENV; "
    "it then reaches runs without touching a disk."
)

_KEY = re.compile(r"[A-Z][A-Z0-9_]*")
_SECRET = re.compile(r".*(_TOKEN|_KEY|PASSWORD.*|SECRET.*)", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"[ \t]#")
_BLANK = " \t"


@dataclass(frozen=True)
class Piece:
    """Part of a value; `${...}` counts only in a `live` one."""

    text: str
    live: bool


@dataclass(frozen=True)
class Entry:
    """One `KEY=VALUE` line."""

    key: str
    line: int
    #: Its quote character, empty for an unquoted value.
    quote: str
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The value with quotes and escapes resolved and `${...}` as written."""
        return "".join(p.text for p in self.pieces)


@dataclass(frozen=True)
class Reading:
    """The contents of a config: the first entry of each key, and the mistakes."""

    entries: dict[str, Entry]
    #: Keys whose values could not be read: they are set, but their values are unknown.
    broken: set[str]
    problems: Problems
    #: Existing keys, for hints.
    names: Collection[str] = ()


class _Syntax(Exception):
    def __init__(self, reason: str, remedy: str) -> None:
        self.reason = reason
        self.remedy = remedy


def looks_secret(key: str) -> bool:
    """Whether a key of this name holds a secret: `*_TOKEN`, `*_KEY`, `*PASSWORD*`, `*SECRET*`."""
    return _SECRET.fullmatch(key) is not None


def read_entries(raw: bytes, origin: str, names: Collection[str] = ()) -> Reading:
    """Read a config's lines. `origin` names the file in messages, `names` are keys to suggest.

    UTF-8, with or without BOM; lines end in LF or CRLF; `export ` before a key is ignored;
    an unquoted ` #` begins a comment. Raises nothing: the result contains the mistakes.
    """
    problems = Problems(origin)
    reading = Reading({}, set(), problems, names)
    if len(raw) > MAX_BYTES:
        problems.add(
            None,
            "",
            None,
            f"{len(raw)} bytes are not a config; at most {MAX_BYTES} are read.",
            "Name the file that holds KEY=VALUE lines.",
        )
        return reading
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.add(1, "", None, "the file is UTF-16.", "Save it as UTF-8.")
        return reading
    for number, line in _lines(raw, problems):
        entry = _entry(number, line, reading)
        if entry is None:
            continue
        first = reading.entries.setdefault(entry.key, entry)
        if first is not entry:
            problems.add(
                number,
                entry.key,
                None,
                f"already set on line {first.line}.",
                f"Keep one of lines {first.line} and {number}.",
            )
    return reading


def quoted(value: str) -> str:
    """`value` quoted for the file, on one line: `read_entries` returns it unexpanded."""
    if re.fullmatch(r"[\w./:@,+=*~-]+", value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'


def _lines(raw: bytes, problems: Problems) -> Iterator[tuple[int, str]]:
    """Numbered lines as text; a line that is not text is a problem of its own."""
    body = raw[3:] if raw.startswith(b"\xef\xbb\xbf") else raw
    for number, piece in enumerate(body.split(b"\n"), start=1):
        if b"\0" in piece:
            problems.add(
                number, "", None, "there is a NUL byte in the line.", "Save the file as plain text."
            )
            continue
        try:
            line = piece.decode("utf-8")
        except UnicodeDecodeError as e:
            problems.add(
                number,
                "",
                None,
                f"byte {e.start + 1} of the line (0x{piece[e.start]:02x}) is not UTF-8.",
                "Save the file as UTF-8.",
            )
            continue
        yield number, line.removesuffix("\r")


def _entry(number: int, line: str, reading: Reading) -> Entry | None:
    problems = reading.problems
    text = line.strip(_BLANK)
    if not text or text.startswith("#"):
        return None
    name, equals, rest = text.partition("=")
    name = re.sub(r"\Aexport[ \t]+", "", name).strip(_BLANK)
    if not equals:
        problems.add(
            number,
            "",
            None,
            "there is no '=' in the line.",
            "Write KEY=VALUE, or # before a comment.",
        )
        return None
    if not _KEY.fullmatch(name):
        _bad_name(number, name, reading)
        return None
    try:
        quote, pieces = _value(rest)
    except _Syntax as e:
        problems.add(number, name, None, e.reason, e.remedy)
        reading.broken.add(name)
        return None
    return Entry(name, number, quote, pieces)


def _bad_name(number: int, name: str, reading: Reading) -> None:
    problems = reading.problems
    if not name:
        problems.add(number, "", None, "there is no key before '='.", "Write KEY=VALUE.")
        return
    if looks_secret(name):
        reason = "what is before '=' looks like a secret's name, and is not a key."
        problems.add(number, "", None, reason, HAND_OVER)
        return
    hint = "" if problems.full else nearest(name.upper(), reading.names)
    # a name that does not resemble a key could be anything, even a pasted secret
    shown = visible(name) if hint else ""
    reason = "not a key: keys are capital letters, digits and '_'."
    problems.add(
        number,
        shown,
        None,
        reason if shown else f"what is before '=' is {reason}",
        f"{hint}Write KEY=VALUE.",
    )


def _value(rest: str) -> tuple[str, tuple[Piece, ...]]:
    """Quote and pieces of the text after '='. Raises _Syntax."""
    text = rest.lstrip(_BLANK)
    if text[:1] == "'":
        end = text.find("'", 1)
        if end < 0:
            raise _unterminated("'")
        _after_quote(text[end + 1 :])
        return "'", (Piece(text[1:end], live=False),)
    if text[:1] == '"':
        pieces, end = _double_quoted(text)
        _after_quote(text[end + 1 :])
        return '"', pieces
    comment = _COMMENT.search(rest)
    bare = (rest[: comment.start()] if comment else rest).strip(_BLANK)
    return "", (Piece(bare, live=True),)


def _double_quoted(text: str) -> tuple[tuple[Piece, ...], int]:
    """Pieces of a double-quoted text, and the position of its closing quote."""
    pieces: list[Piece] = []
    start = position = 1
    while position < len(text):
        char = text[position]
        if char == '"':
            pieces.append(Piece(text[start:position], live=True))
            return tuple(pieces), position
        if char == "\\" and text[position + 1 : position + 2] in ('"', "\\", "$", "`"):
            pieces.append(Piece(text[start:position], live=True))
            pieces.append(Piece(text[position + 1], live=False))
            position += 2
            start = position
        else:
            position += 1
    raise _unterminated('"')


def _unterminated(quote: str) -> _Syntax:
    return _Syntax(
        f"the quote {quote} that opens the value is not closed on its line.",
        f"Close it with {quote}; a value is on one line.",
    )


def _after_quote(rest: str) -> None:
    if rest.strip(_BLANK) and not re.match(r"[ \t]+#", rest):
        raise _Syntax(
            "there is text after the closing quote.",
            "Put the whole value into one pair of quotes; write ' #' before a comment.",
        )
