"""Spellings of a text: terminal escapes and invisible characters taken out, encodings undone.

The masking of secrets reads a text as a reader would. `layers` undoes escapes of HTML, JSON, C,
shells and URLs, one depth after the other; `Layer` says which part of the text each character comes
from.
"""

import re
from bisect import bisect_right
from typing import Callable, Iterator, List, Match, NamedTuple, Optional, Pattern, Tuple

#: Longer control sequences are text.
_MOST_CHARS = 4096
_LOOK_BEHIND = 24

#: Invisible characters, and the replacement for one that could not be shown.
_INVISIBLE = (
    "\\x80-\\x9f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180e\\u200b-\\u200f"
    "\\u202a-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffd"
    "\\U000e0000-\\U000e0fff"
)
_ASCII = bytes(range(128))
_HEX = "[0-9A-Fa-f]"
_CONTROLS = dict(zip("abefnrtv0", "\a\b\x1b\f\n\r\t\v\0"))


class _Stage(NamedTuple):
    """One kind of escapes: the sign that each begins with, or else a character beyond ASCII."""

    sign: str
    pattern: "Pattern[str]"
    meaning: Optional[Callable[["Match[str]"], str]]


def _of_bytes(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _of_url(match: "Match[str]") -> str:
    return _of_bytes(bytes.fromhex(match.group().replace("%", "")))


def _of_html(match: "Match[str]") -> str:
    name = match.group()[1:-1]
    if name.startswith("#"):
        return _character(int(name[2:], 16) if name[1] in "xX" else int(name[1:]))
    import html  # slow to import, and few texts need it

    return html.unescape(match.group())


def _of_backslash(match: "Match[str]") -> str:
    kind, token = match.group()[1], match.group()
    if kind == "x":
        return _of_bytes(bytes.fromhex(token.replace("\\x", "")))
    if kind == "u" and len(token) > 6:
        return bytes.fromhex(token.replace("\\u", "")).decode("utf-16-be", "replace")
    if kind in "uU":
        return _character(int(token[2:], 16))
    if kind in "0123" and len(token) > 2:
        return _of_bytes(bytes(int(number, 8) for number in token[1:].split("\\")))
    return _CONTROLS.get(kind, kind)


def _character(number: int) -> str:
    return chr(number) if number <= 0x10FFFF else ""


_CONTROL = r"[0-9;:?<=>]*[ -/]*[@-~]"
_STRING = r"[^\x07\x1b\x9c\n]{0,%d}(?:\x07|\x1b\\|\x9c)" % _MOST_CHARS
# bytes of UTF-8 beyond ASCII belong together, all other escapes are one character each
_STAGES = (
    _Stage("\x1b", re.compile(r"\x1b(?:\[%s|[]PX^_]%s|[ -/]*[0-~])" % (_CONTROL, _STRING)), None),
    _Stage("\x9b", re.compile(r"\x9b" + _CONTROL), None),
    _Stage("\x9d", re.compile(r"\x9d" + _STRING), None),
    # a backspace takes back the character before it
    _Stage("\x08", re.compile("[^\n\x08]\x08"), None),
    _Stage("", re.compile("[%s]" % _INVISIBLE), None),
    _Stage(
        "\\",
        re.compile(
            r"\\(?:[abefnrtv]|[^A-Za-z0-9]|x[0-7]%(h)s|x[89A-Fa-f]%(h)s(?:\\x[89A-Fa-f]%(h)s)*"
            r"|u[dD][89abAB]%(h)s{2}\\u[dD][c-fC-F]%(h)s{2}|u%(h)s{4}|U%(h)s{8}"
            r"|[01][0-7]{2}|[23][0-7]{2}(?:\\[23][0-7]{2})*|0)" % {"h": _HEX}
        ),
        _of_backslash,
    ),
    _Stage(
        "%", re.compile("%%(?:[0-7]%s|[89A-Fa-f]%s(?:%%[89A-Fa-f]%s)*)" % (3 * (_HEX,))), _of_url
    ),
    _Stage(
        "&",
        re.compile("&(?:#[0-9]{1,7}|#[xX]%s{1,6}|[A-Za-z][A-Za-z0-9]{1,31});" % _HEX),
        _of_html,
    ),
)

_NOISE = tuple(stage for stage in _STAGES if stage.meaning is None)
_ESCAPES = tuple(stage for stage in _STAGES if stage.meaning is not None)
#: What is undone at each depth, such as of JSON in JSON in HTML.
_LAYERS = (_NOISE, _ESCAPES, _STAGES, _STAGES)
#: The same for readers other than terminals: a terminal may take the first characters of another
#: escape for the end of an open control sequence.
_NO_TERMINAL = (_ESCAPES, _ESCAPES, _ESCAPES)
#: What may part a secret, one kind at a time: beside another kind a terminal may take characters of
#: the secret for the end of a sequence. Colours and titles are the sequences that programs write.
_PARTING = (
    _Stage("\x1b", re.compile(r"\x1b(?:\[[0-9;:]*m|\]%s)" % _STRING), None),
    *(stage for stage in _NOISE if stage.sign in ("\x08", "")),
)
#: The stages by which a text is read, in turn.
Way = Tuple[Tuple[_Stage, ...], ...]

#: What may be the beginning of an escape, at the end of a text.
_BEGUN = re.compile(
    r"(?:\x1b(?:\[[0-9;:?<=>]*[ -/]*|[]PX^_][^\x07\x1b\x9c\n]{0,%(most)d}\x1b?|[ -/]*)"
    r"|\x9b[0-9;:?<=>]*[ -/]*|\x9d[^\x07\x1b\x9c\n]{0,%(most)d}\x1b?"
    r"|%%%(h)s?|(?:%%[89A-Fa-f]%(h)s)+(?:%%%(h)s?)?|&#?[A-Za-z0-9]{0,31}"
    r"|(?:\\x[89A-Fa-f]%(h)s|\\[23][0-7]{2})+(?:\\(?:x%(h)s?|[0-7]{0,2}))?"
    r"|\\(?:x%(h)s?|[uU]%(h)s{0,8}(?:\\(?:u%(h)s{0,3})?)?|[0-7]{0,2}))\Z"
    % {"h": _HEX, "most": _MOST_CHARS}
)


def layers(text: str) -> List[Tuple[Way, str]]:
    """`text` itself, and what it reads as in each way that gives something else."""
    found: List[Tuple[Way, str]] = [((), text), *_read(text, _LAYERS)]
    if any(way == (_NOISE,) for way, _ in found):
        found += _read(text, _NO_TERMINAL)
        for stage in _PARTING:
            found += _read(text, ((stage,), _ESCAPES))
    return found


def _read(text: str, way: Way) -> Iterator[Tuple[Way, str]]:
    """What `text` reads as at each depth of `way`, if that is something else."""
    for depth, stages in enumerate(way, start=1):
        before, text = text, _undone(text, stages)
        if text != before:
            yield way[:depth], text


def _undone(text: str, stages: Tuple[_Stage, ...]) -> str:
    for sign, pattern, meaning in stages:
        if sign in text if sign else pattern.search(_beyond_ascii(text)):
            text = pattern.sub(meaning or "", text)
    return text


def _beyond_ascii(text: str) -> str:
    """The characters of `text` beyond ASCII: there are few, and a search costs time for each."""
    if text.isascii():
        return ""
    raw = text.encode("utf-8", "surrogatepass").translate(None, _ASCII)
    return raw.decode("utf-8", "surrogatepass")


def begun(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of an escape."""
    # the next character may be another backspace
    least = 1 if "\x08" in text[-_LOOK_BEHIND:] else 0
    first = max(0, len(text) - _MOST_CHARS)
    last = max(text.rfind(sign, first) for sign in "\x1b\x9b\x9d%&\\")
    if last < 0:
        return least
    # bytes that belong together begin before their last sign
    for start in range(max(0, last - _LOOK_BEHIND), last + 1):
        if _BEGUN.match(text, start):
            return max(least, len(text) - start)
    return least


class Layer:
    """A text as it is read in a `way`, which knows where each part came from."""

    def __init__(self, text: str, way: Way) -> None:
        self.text = text
        #: For each stage that changed the text: where its pieces begin, and what they were.
        self._stages: List[Tuple[List[int], List[Tuple[int, int, bool]]]] = []
        for stages in way:
            is_ascii = self.text.isascii()
            for stage in stages:
                if stage.sign in self.text if stage.sign else not is_ascii:
                    self._undo(stage)

    def _undo(self, stage: _Stage) -> None:
        parts: List[str] = []
        starts: List[int] = []
        pieces: List[Tuple[int, int, bool]] = []
        at = size = 0
        for match in [*stage.pattern.finditer(self.text), None]:
            start, end = match.span() if match else (len(self.text), len(self.text))
            meaning = stage.meaning(match) if match and stage.meaning else ""
            for part, piece in (
                (self.text[at:start], (at, start, False)),
                (meaning, (start, end, True)),
            ):
                if part:
                    parts.append(part)
                    starts.append(size)
                    pieces.append(piece)
                    size += len(part)
            at = end
        self.text = "".join(parts)
        self._stages.append((starts, pieces))

    def origin(self, start: int, end: int) -> Tuple[int, int]:
        """The part of the first text from which the characters `start` to before `end` came."""
        for starts, pieces in reversed(self._stages):
            first, last = bisect_right(starts, start) - 1, bisect_right(starts, end - 1) - 1
            begin, _, is_escape = pieces[first]
            begin += 0 if is_escape else start - starts[first]
            before, stop, is_escape = pieces[last]
            stop = stop if is_escape else before + end - starts[last]
            start, end = begin, stop
        return start, end
