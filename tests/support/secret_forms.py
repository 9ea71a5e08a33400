"""The forms in which a program may tell a secret, and a search for all of them."""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
import shlex
import textwrap
import urllib.parse
from collections.abc import Callable, Iterator, Mapping

Form = Callable[[str], str]


def _base64(before: str = "", after: str = "") -> Form:
    return lambda s: base64.b64encode((before + s + after).encode()).decode()


def _base32(before: str = "", after: str = "") -> Form:
    return lambda s: base64.b32encode((before + s + after).encode()).decode()


def _wrapped(columns: int) -> Form:
    return lambda s: "\n".join(textwrap.wrap(_base64("user:" * 11, "!" * 30)(s), columns))


#: What other programs undo: all of them may stand within one another.
ESCAPES: dict[str, Form] = {
    "plain": str,
    "percent": lambda s: urllib.parse.quote(s, safe=""),
    "percent with plus": urllib.parse.quote_plus,
    "percent throughout": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "JSON": lambda s: json.dumps(s)[1:-1],
    "JSON throughout": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "HTML": html.escape,
    "HTML numbers": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "HTML hex numbers": lambda s: "".join(f"&#x{ord(c):X};" for c in s),
    "repr": lambda s: repr(s)[1:-1],
    "ascii": lambda s: ascii(s)[1:-1],
    "repr of bytes": lambda s: repr(s.encode())[2:-1],
    "shell": shlex.quote,
    "shell, C": lambda s: "$'" + "".join(f"\\{byte:03o}" for byte in s.encode()) + "'",
}

#: A secret with something between its characters.
PARTED: dict[str, Form] = {
    "colours": lambda s: "\x1b[1;31m".join(s) + "\x1b[0m",
    "titles": "\x1b]0;title 1\x07".join,
    "carriage returns": "\r".join,
    "backspaces": lambda s: "".join(f"{c}x\x08" for c in s),
    "invisible": "\u200b".join,
    "turned": lambda s: "\u202e" + "\u2066".join(s),
    "not shown": "\ufffd".join,
    "lines": "\n".join,
}

#: All of them.
FORMS: dict[str, Form] = {
    **ESCAPES,
    **PARTED,
    "shell, backslashes": lambda s: re.sub(r"(\W)", r"\\\1", s),
    "base64": _base64(),
    "base64 without padding": lambda s: _base64()(s).rstrip("="),
    "base64, second offset": _base64("x", "!"),
    "base64, third offset": _base64("xy", "!!"),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 at 76 columns": _wrapped(76),
    "base64 at 64 columns": _wrapped(64),
    "base64 at 16 columns": _wrapped(16),
    "base64 at 76 columns in JSON": lambda s: json.dumps(_wrapped(76)(s)),
    "base64 of base64": lambda s: _base64()(_base64()(s)),
    "base64 of base64, other offsets": lambda s: _base64("x", "!")(_base64("xy", "!!")(s)),
    "base64 of base64 for URLs": lambda s: _base64()(FORMS["base64 for URLs"](s)),
    "base32": _base32(),
    "base32, second offset": _base32("x", "!"),
    "base32, third offset, in lower case": lambda s: _base32("xy", "!!")(s).lower(),
    "base32, fourth offset, without padding": lambda s: _base32("xyz")(s).rstrip("="),
    "base32, fifth offset": _base32("xyz!", "!!!"),
    "ascii85": lambda s: base64.a85encode(s.encode()).decode(),
    "ascii85, wrapped, as Adobe has it": lambda s: base64.a85encode(
        s.encode(), wrapcol=8, adobe=True
    ).decode(),
    "base85": lambda s: base64.b85encode(s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "hex with colons": lambda s: s.encode().hex(":"),
    "hex with blanks": lambda s: s.encode().hex(" "),
    "hex with dashes": lambda s: s.encode().hex("-").upper(),
    "UTF-16 LE": lambda s: s.encode("utf-16-le").decode("utf-8", "replace"),
    "UTF-16 BE": lambda s: s.encode("utf-16-be").decode("utf-8", "replace"),
}


def told(secret: str, text: str) -> bool:
    """Whether `text` tells `secret` in any of these forms; blanks and quotes do not count."""
    return bool(all_told({"": secret}, text))


def all_told(secrets: Mapping[str, str], text: str) -> set[str]:
    """The names of the `secrets` that `text` tells, whole or by one of their lines."""
    found = set()
    readings = [_bare(reading) for reading in _readings(text)]
    digits = [re.sub("[:-]", "", reading).lower() for reading in readings]
    for name, secret in secrets.items():
        for part in {secret, *secret.splitlines()}:
            if len(part) < 8:
                continue
            is_told = any(form in reading for form in _bare_forms(part) for reading in readings)
            if is_told or any(part.encode().hex() in reading for reading in digits):
                found.add(name)
    return found


def _bare_forms(secret: str) -> set[str]:
    raw = secret.encode()
    utf16 = (secret.encode(f"utf-16-{end}e").decode("utf-8", "replace") for end in "lb")
    found = {_bare(form) for form in (secret, raw.decode("latin-1"), *utf16)}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        core = whole[(0, 2, 3)[shift] : -1]
        found |= {core, core.replace("+", "-").replace("/", "_")}
        found |= {base64.b64encode(part.encode()).decode()[:-4] for part in (core, whole)}
    found |= {_bare(code(raw).decode()) for code in (base64.a85encode, base64.b85encode)}
    found.add(base64.b32encode(raw).decode().rstrip("=")[:-1])
    return found


def _readings(text: str) -> Iterator[str]:
    """`text` as it is, and as programs read it that undo its escapes: other code than ours."""
    clean = re.sub("\x1b\\[[0-9;]*m|\x1b\\][^\x07]*\x07|[^\n\x08]\x08", "", text)
    for _ in range(3):
        yield clean
        for undo in (html.unescape, urllib.parse.unquote, urllib.parse.unquote_plus, _unescaped):
            yield undo(clean)
        clean = _unescaped(urllib.parse.unquote(html.unescape(clean)))
    yield clean


def _unescaped(text: str) -> str:
    """`text` without the escapes of JSON, C and shells."""
    return re.sub(
        r"(?:\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[0-3][0-7]{2}|\\[abfnrtv\\'\"])+",
        lambda m: codecs.decode(m.group().encode("latin-1", "replace"), "unicode_escape"),
        text,
        flags=re.DOTALL,
    )


def _bare(text: str) -> str:
    return re.sub("[\\s'\"\\\\\0\u200b\u202e\u2066\ufffd]", "", text)
