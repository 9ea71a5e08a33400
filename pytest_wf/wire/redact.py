"""Masks secrets: every text passes through here last, before a log, record, report or terminal.

A secret is looked for by its letters and digits alone, upper and lower case alike, in the text
itself and in the text with its escapes undone (`spelled`). So blanks, newlines, quotes, signs
and invisible characters neither hide a secret nor have to be known in advance: wrapped base64, hex
with colons, a value in a JSON string in a shell command are found by the same search.
"""

import base64
import re
import sys
from typing import (
    AnyStr,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Literal,
    NamedTuple,
    Tuple,
)

from pytest_wf.wire import spelled
from pytest_wf.wire.safe_text import Out, readable

#: The replacement of a secret.
MASK = "[redacted]"

#: The mark of an omission in a shortened text. A part of a secret beside it is masked as well, if
#: it has at least so many letters and digits.
CUTS = ("...", "\u2026")
MIN_END_CHARS = 6

#: Shorter values are not masked: masking them would make ordinary text unreadable. Such a secret is
#: refused when it is read, not silently left in the open.
MIN_SECRET_CHARS = 8

#: Beyond a line's end a stream waits only for a secret of which it has this many characters.
MIN_OVER_LINES = 4

_BYTES = bytes(range(256))
_LOWER = _BYTES.lower()
_DROPPED = bytes(b for b in _BYTES if b < 0x80 and not chr(b).isalnum())

#: What may be between the characters of a secret that has hardly any letters.
_SEPARATOR = re.compile(r"[\s\x00-\x1f\x7f'\"\\]")
_SEPARATORS = _SEPARATOR.pattern + "*"
#: How many characters of the text that was passed on a stream remembers.
_LOOK_BEHIND = 32

#: A range of characters: the first one, and the one after the last.
Span = Tuple[int, int]
Encode = Callable[[bytes], bytes]


class _Form(NamedTuple):
    """A form of a secret: its letters and digits, and the signs before and after them."""

    key: bytes
    head: str
    tail: str

    def around(self, text: str, first: int, last: int) -> Span:
        """The characters of `text` from `first` to `last`, with the form's signs around them."""
        has_head = self.head and text.endswith(self.head, 0, first)
        has_tail = self.tail and text.startswith(self.tail, last + 1)
        start = first - len(self.head) if has_head else first
        return start, last + 1 + (len(self.tail) if has_tail else 0)


class _Group(NamedTuple):
    """Forms that hold a whole number of `size` bytes at a multiple of `size` in any key."""

    format: Literal["Q", "I"]
    size: int
    forms: List[_Form]
    #: All numbers of the forms' keys.
    words: FrozenSet[int]


class Redactor:
    """Masks secret values in all their spellings, each line of a long one, and what is left of
    one in a shortened text.

    `values` are the secrets themselves. Masked are also: hex, base32, base64 and base64 of base64,
    wrapped or with separators; ascii85 and base85, except up to three bytes at each end of a secret
    within a longer text; HTML, JSON, C, shell and percent escapes, up to three within one another;
    UTF-16 read as text; a value split by terminal escapes, control characters, invisible characters
    or line ends. Not masked: what was compressed, encrypted, reversed or computed. An instance is
    immutable; `stream()` gives the stateful form for text that arrives in pieces.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        parts = _parts(values)
        self._forms, self._literals = _forms_of(parts)
        self._patterns = [re.compile(_SEPARATORS.join(map(re.escape, t))) for t in self._literals]
        #: The texts, signs included, whose beginnings and ends are searched for at a cut.
        self._whole = (*parts, *self._literals)
        self._groups = _groups(self._forms)
        #: All keys, for a first look.
        self._keys = b" ".join(form.key for form in self._forms)
        longest = max(
            [len(form.key) for form in self._forms] + [len(t) for t in self._literals] + [0]
        )
        #: How many characters before an end are searched for a secret.
        self._window = 6 * longest + 1024

    def __bool__(self) -> bool:
        return bool(self._forms or self._literals)

    def text(self, text: str) -> str:
        """`text` with every secret replaced by `MASK`."""
        if not self or len(text) < MIN_END_CHARS:
            return text
        text = self.whole(text)
        for cut in CUTS:
            if cut in text:
                text = self._around(cut, text)
        return text

    def shown(self, text: str) -> str:
        """`text` safe to show: without terminal control characters, and with secrets masked."""
        return self.text(readable(text))

    def whole(self, text: str) -> str:
        """`text` with every complete secret replaced by `MASK`."""
        return _masked(text, self.spans(text), 0, len(text))

    def spans(self, text: str) -> List[Span]:
        """The places of complete secrets in `text`, in order, without overlaps."""
        found: List[Span] = []
        for way, seen in spelled.layers(text) if self else ():
            key = _key_of(seen)
            forms = [form for form in self._possible(key) if form.key in key]
            weak = [match.span() for pattern in self._patterns for match in pattern.finditer(seen)]
            if forms or weak:
                layer = spelled.Layer(text, way)
                places = _places(seen)
                for form in forms:
                    for at in _all(key, form.key):
                        start, end = form.around(seen, places[at], places[at + len(form.key) - 1])
                        found.append(layer.origin(start, end))
                found += [layer.origin(*span) for span in weak]
        return _joined(found)

    def _possible(self, key: bytes) -> Iterator[_Form]:
        """The forms that a text with this `key` may hold: one look at its numbers for each group
        costs less than a search for each form."""
        for group in self._groups:
            size = group.size
            words = memoryview(key)[: len(key) // size * size].cast(group.format)
            if not group.words.isdisjoint(words):
                yield from group.forms

    def begun(self, text: str, least: int = 1) -> int:
        """Where a secret may begin that goes on after the end of `text`.

        This is the length of `text` if it has fewer than `least` letters and digits of any secret.
        """
        offset = max(0, len(text) - self._window)
        tail = text[offset:]
        start = len(tail)
        for way, seen in spelled.layers(tail):
            key = _key_of(seen)
            firsts = []
            if key[-least:] in self._keys:
                size = max((_overlap(key, form.key, least) for form in self._forms), default=0)
                firsts = [_place_from_end(seen, size)]
            firsts += [len(seen) - _overlap(seen, literal, least) for literal in self._whole]
            if self._literals:
                bare, at = _bare(seen)
                sizes = [_overlap(bare, _bare(literal)[0], least) for literal in self._literals]
                firsts += [at[-size] for size in sizes if size]
            first = min(firsts, default=len(seen))
            if first < len(seen):
                start = min(start, spelled.Layer(tail, way).origin(first, first + 1)[0])
        return offset + start

    def _ended(self, text: str) -> int:
        """How many characters at the beginning of `text` may be the end of a secret."""
        text = text[: self._window]
        end = 0
        for way, seen in spelled.layers(text):
            key = _key_of(seen)[::-1]
            sizes = [_overlap(key, form.key[::-1], MIN_END_CHARS) for form in self._forms]
            lasts = [_places(seen)[size - 1] + 1 for size in sizes if size]
            backwards = [literal[::-1] for literal in self._whole]
            lasts += [_overlap(seen[::-1], literal, MIN_END_CHARS) for literal in backwards]
            if self._literals:
                bare, at = _bare(seen)
                ends = [_bare(literal)[0][::-1] for literal in self._literals]
                sizes = [_overlap(bare[::-1], literal, MIN_END_CHARS) for literal in ends]
                lasts += [at[size - 1] + 1 for size in sizes if size]
            last = max(lasts, default=0)
            if last:
                end = max(end, spelled.Layer(text, way).origin(last - 1, last)[1])
        return end

    def _around(self, cut: str, text: str) -> str:
        """Mask the beginning of a secret before each `cut`, and the end of one after it."""
        first, *others = text.split(cut)
        shown = [first]
        for part in others:
            start = self.begun(shown[-1], MIN_END_CHARS)
            if start < len(shown[-1]):
                shown[-1] = shown[-1][:start] + MASK
            end = self._ended(part)
            shown.append(MASK + part[end:] if end else part)
        return cut.join(shown)

    def value(self, value: object) -> object:
        """A JSON value with every string in it, keys included, masked."""
        return _changed(value, self.text) if self else value

    def shown_value(self, value: object) -> object:
        """A JSON value with every string in it, keys included, made safe as by `shown`."""
        return _changed(value, self.shown)

    def stream(self) -> "RedactingStream":
        """A stateful redactor for text that arrives in pieces."""
        return RedactingStream(self)


class RedactingStream:
    """Redacts pieces of one text: a secret that is split over pieces or lines is found.

    Text that may begin a secret waits for the next piece. At a line's end it waits only if it has
    at least `MIN_OVER_LINES` letters and digits: else most lines would wait for the next one.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        #: The text that waits, after the end of the text that was passed on.
        self._text = ""
        self._passed = 0

    def feed(self, piece: str) -> str:
        """Add `piece`; the text that may be passed on now."""
        if not self._redactor:
            return piece
        text, passed = self._text + piece, self._passed
        spans = self._redactor.spans(text)
        if text.endswith("\n"):
            begun = self._redactor.begun(text, MIN_OVER_LINES)
        else:
            begun, escape = self._redactor.begun(text), spelled.begun(text)
            if escape:
                begun = min(begun, self._redactor.begun(text[:-escape]))
        # a secret may be the beginning of a longer one
        begun = min([begun] + [start for start, stop in spans if start < begun < stop])
        end = max(begun, passed)
        # the few letters that did not wait may yet begin a secret
        kept = max(0, begun - _LOOK_BEHIND)
        self._text, self._passed = text[kept:], end - kept
        return _masked(text, spans, passed, end)

    def close(self) -> str:
        """The rest, at the end of the text."""
        text, passed = self._text, self._passed
        self._text, self._passed = "", 0
        return _masked(text, self._redactor.spans(text), passed, len(text))


class RedactedText:
    """A text file of `out` that masks secrets in all that is written to it."""

    def __init__(self, out: Out, redactor: Redactor) -> None:
        self._out = out
        self._stream = redactor.stream()

    def write(self, text: str) -> None:
        """Write `text`, except what has to wait."""
        self._out.write(self._stream.feed(text))

    def flush(self) -> None:
        """Pass on what was written."""
        self._out.flush()

    def end(self) -> None:
        """Write the text that was held back."""
        self._out.write(self._stream.close())
        self._out.flush()


def _changed(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(str(k)): _changed(v, change) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_changed(v, change) for v in value]
    return value


def _masked(text: str, spans: Iterable[Span], start: int, end: int) -> str:
    """`text` from `start` to before `end`, with a mask for each of `spans`."""
    parts = []
    for first, last in spans:
        if last <= start:
            continue
        if first >= end:
            break
        parts += [text[start:first], MASK]
        start = last
    return "".join([*parts, text[start:end]])


def _joined(spans: List[Span]) -> List[Span]:
    """`spans` in order, with those that overlap made one."""
    joined: List[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _all(text: AnyStr, part: AnyStr) -> Iterator[int]:
    """The places of `part` in `text`."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


def _overlap(text: AnyStr, secret: AnyStr, least: int) -> int:
    """How much of the beginning of `secret`, at least `least` and not all, is the end of `text`."""
    end = text[-least:]
    if len(end) < least:
        return 0
    at = secret.rfind(end, 0, min(len(secret) - 1, len(text)))
    while at >= 0:
        size = at + least
        if text.endswith(secret[:size]):
            return size
        at = secret.rfind(end, 0, size - 1)
    return 0


def _bare(text: str) -> Tuple[str, List[int]]:
    """`text` without what may part the characters of a literal; where in it each one stands."""
    places = [at for at, character in enumerate(text) if not _SEPARATOR.match(character)]
    return "".join(text[at] for at in places), places


def _key_of(text: str) -> bytes:
    """The letters and digits of `text` in lower case, as UTF-8; beyond ASCII, all characters."""
    return text.encode("utf-8", "surrogatepass").translate(_LOWER, _DROPPED)


def _place_from_end(text: str, size: int) -> int:
    """Where in `text` the last `size` bytes of its key begin; its length for 0."""
    place = len(text)
    while size > 0:
        place -= 1
        if text[place] >= "\x80":
            size -= len(text[place].encode("utf-8", "surrogatepass"))
        else:
            size -= text[place].isalnum()
    return place


def _places(text: str) -> List[int]:
    """For each byte of the text's key, the character that it is of."""
    places: List[int] = []
    for place, character in enumerate(text):
        if character >= "\x80":
            places += [place] * len(character.encode("utf-8", "surrogatepass"))
        elif character.isalnum():
            places.append(place)
    return places


def _parts(values: Iterable[str]) -> List[str]:
    """Each value, and each line of it, that is long enough."""
    parts = {part for value in values for part in (value, *value.splitlines())}
    return sorted(part for part in parts if len(part) >= MIN_SECRET_CHARS)


def _forms_of(parts: Iterable[str]) -> Tuple[List[_Form], List[str]]:
    """What is searched by its letters and digits, and what as it is; in each the longest first."""
    forms: Dict[bytes, _Form] = {}
    literals = set()
    for part in parts:
        for text in _spellings(part):
            key = _key_of(text)
            if len(key) >= MIN_SECRET_CHARS:
                places = _places(text)
                forms.setdefault(key, _Form(key, text[: places[0]], text[places[-1] + 1 :]))
            elif len(text) >= MIN_SECRET_CHARS:
                literals.add(text)
    return (
        sorted(forms.values(), key=lambda form: (-len(form.key), form.key)),
        sorted(literals, key=lambda text: (-len(text), text)),
    )


def _groups(forms: Iterable[_Form]) -> List[_Group]:
    """The forms by the size of the numbers by which a text is searched for them."""
    found = []
    left = list(forms)
    sizes: Dict[Literal["Q", "I"], int] = {"Q": 8, "I": 4}
    for code, size in sizes.items():
        some = [form for form in left if len(form.key) >= 2 * size - 1]
        left = left[len(some) :]
        words = frozenset(
            int.from_bytes(form.key[at : at + size], sys.byteorder)
            for form in some
            for at in range(len(form.key) - size + 1)
        )
        found.append(_Group(code, size, some, words))
    return found


def _spellings(value: str) -> Iterator[str]:
    """The texts that reveal a secret, apart from the escapes that `spelled` undoes."""
    raw = value.encode("utf-8", "surrogateescape")
    written = [raw, *(value.encode(f"utf-16-{end}e", "surrogatepass") for end in "lb")]
    read = [
        code.decode("utf-8", bad) for code in written for bad in ("replace", "backslashreplace")
    ]
    for text in [value, *read]:
        yield from (read for _, read in spelled.layers(text))
    # a quote between single quotes, as shells have it: 'it'"'"'s' and 'it'\''s'
    yield value.replace("'", "'\"'\"'")
    yield value.replace("'", "'''")
    yield raw.hex()
    plain, for_urls = (
        list(_inside(raw, encode, 3, 6)) for encode in (base64.b64encode, base64.urlsafe_b64encode)
    )
    yield from plain
    yield from for_urls
    for text in dict.fromkeys([*plain, *for_urls]):
        yield from _inside(text.encode("ascii"), base64.b64encode, 3, 6)
    yield from _inside(raw, base64.b32encode, 5, 5)
    for encode in (base64.a85encode, base64.b85encode):
        for text in (encode(raw).decode("ascii"), *_groups_inside(raw, encode)):
            # its signs may look like escapes
            yield from (read for _, read in spelled.layers(text))


def _inside(raw: bytes, encode: Encode, period: int, bits: int) -> Iterator[str]:
    """What reveals `raw` in an encoded longer text, in which each character has so many bits.

    It depends on the offset modulo `period`. The ends mix with the neighbours, so only the
    characters of `raw` alone are taken.
    """
    for before in range(period):
        encoded = encode(b"\0" * before + raw).decode("ascii")
        yield encoded[-(-8 * before // bits) : 8 * (before + len(raw)) // bits]


def _groups_inside(raw: bytes, encode: Encode) -> Iterator[str]:
    """What reveals `raw` in a longer text of which each four bytes are encoded together."""
    for first in range(4):
        whole = (len(raw) - first) // 4 * 4
        encoded = encode(raw[first : first + whole]).decode("ascii")
        # a search for signs costs more than one for letters, and such a text is rare
        if len(_key_of(encoded)) >= MIN_SECRET_CHARS:
            yield encoded
