"""The one redaction sink: every text passes here before a log, a record or a report."""

import base64
import json
from typing import Iterable, List, Tuple

#: What stands where a secret stood.
MASK = "[redacted]"

#: What stands where a text was shortened. The ends of a secret beside it are masked as well,
#: from so many characters on.
CUTS = ("...", "\u2026")
MIN_END_CHARS = 6

#: Shorter values are not masked: they would shred ordinary text. Such a secret is refused
#: when it is read, not silently left in the open.
MIN_SECRET_CHARS = 8


class Redactor:
    """Masks secret values, also base64-, URL- and JSON-encoded, each line of a long one, and
    what is left of one in a shortened text.

    `values` are the secrets themselves. An instance is immutable; `stream()` gives the
    stateful form for text that arrives in pieces.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = set()
        for value in values:
            for part in [value, *value.splitlines()]:
                if len(part) >= MIN_SECRET_CHARS:
                    forms.update(_encodings(part))
        #: Longest first, so that a value is masked whole before a part of it is.
        self._forms: Tuple[str, ...] = tuple(sorted(forms, key=lambda f: (-len(f), f)))

    def __bool__(self) -> bool:
        return bool(self._forms)

    @property
    def longest(self) -> int:
        """Length of the longest masked form, in characters; 0 without secrets."""
        return len(self._forms[0]) if self._forms else 0

    def text(self, text: str) -> str:
        """`text` with every secret replaced by `MASK`."""
        text = self.whole(text)
        for cut in CUTS:
            if self._forms and cut in text:
                text = self._around(cut, text)
        return text

    def whole(self, text: str) -> str:
        """`text` with every secret that stands there whole replaced by `MASK`."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def begun(self, text: str, least: int = 1) -> int:
        """How many characters at the end of `text` may be the beginning of a secret; fewer
        than `least` are none."""
        longest = least - 1
        for form in self._forms:
            if text[-least:] not in form:
                continue
            for size in range(min(len(form) - 1, len(text)), longest, -1):
                if text.endswith(form[:size]):
                    longest = size
                    break
        return longest if longest >= least else 0

    def _ended(self, text: str, least: int) -> int:
        """How many characters at the beginning of `text` may be the end of a secret."""
        longest = least - 1
        for form in self._forms:
            if text[:least] not in form:
                continue
            for size in range(min(len(form) - 1, len(text)), longest, -1):
                if text.startswith(form[-size:]):
                    longest = size
                    break
        return longest if longest >= least else 0

    def _around(self, cut: str, text: str) -> str:
        """Mask the beginning of a secret before each `cut`, and the end of one behind it."""
        first, *others = text.split(cut)
        shown = [first]
        for part in others:
            before = self.begun(shown[-1], MIN_END_CHARS)
            if before:
                shown[-1] = shown[-1][:-before] + MASK
            behind = self._ended(part, MIN_END_CHARS)
            shown.append(MASK + part[behind:] if behind else part)
        return cut.join(shown)

    def value(self, value: object) -> object:
        """A JSON value with every string in it, keys included, masked."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(k)): self.value(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(v) for v in value]
        return value

    def stream(self) -> "RedactingStream":
        """A stateful redactor for text that arrives in pieces."""
        return RedactingStream(self)


class RedactingStream:
    """Redacts pieces of one text: a secret that a chunk boundary cuts is still found."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, piece: str) -> str:
        """What may be passed on now; the tail that could begin a secret is held back."""
        text = self._redactor.whole(self._held + piece)
        keep = self._redactor.begun(text)
        self._held = text[len(text) - keep :] if keep else ""
        return text[: len(text) - keep] if keep else text

    def close(self) -> str:
        """The rest, at the end of the text."""
        rest, self._held = self._redactor.whole(self._held), ""
        return rest


def _encodings(value: str) -> List[str]:
    import urllib.parse  # slow to import, and few processes hold a secret

    raw = value.encode("utf-8", "surrogateescape")
    forms = [value, urllib.parse.quote(value, safe="", errors="replace"), json.dumps(value)[1:-1]]
    forms.append(urllib.parse.quote_plus(value, errors="replace"))
    forms.extend([repr(value)[1:-1], ascii(value)[1:-1]])
    # base64 of a secret inside a longer text depends on its offset modulo three; the ends
    # mix with the neighbours, so only the bytes that are the secret's own are matched
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode("ascii").rstrip("=")
        first = (0, 2, 3)[shift]
        last = len(encoded) - (1 if (shift + len(raw)) % 3 else 0)
        inner = encoded[first:last]
        if len(inner) >= MIN_SECRET_CHARS:
            forms.extend([inner, inner.replace("+", "-").replace("/", "_")])
    return [f for f in forms if len(f) >= MIN_SECRET_CHARS]
