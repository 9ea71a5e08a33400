"""Characters that look like others or are invisible, and error values of spreadsheets.

A spreadsheet, a chat or a PDF turns ``-`` into a dash and ``'`` into a curly quote. The result
is legal in an argument, and trains something else than was meant.
"""

from __future__ import annotations

import re
import unicodedata

#: Characters that look like ASCII ones and that Unicode does not normalize to them.
_MARKS = frozenset(
    "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2032\u2033\u2035\u2036\u00b4\u02b9\u02ba"
    "\u02bb\u02bc\u02bd\u02ca\u02cb\u02f4"  # quotes, primes, accents
    "\u2212\u02d7\u2043\u2796\u00ad"  # minus signs, bullets, the soft hyphen
    "\u2044\u2215\u29f8\u2236\ua789\u02d0\u066a\u066b\u066c\u00d7\u2217\u223c\u02dc\u2223\u01c0"
)
#: Greek and Cyrillic letters that look like Latin ones.
_LETTERS = frozenset(
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458\u0501\u051b\u051d\u04bb\u04cf"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0405\u0406\u0408"
)
#: Blank or zero-width characters.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f]"
)
_WORD = re.compile(r"[^\W\d_]+(?:[^\W_]|_)*")
_SPREADSHEET = re.compile(
    r"#(?:NAME\?|REF!|VALUE!|DIV/0!|N/A|NUM!|NULL!|SPILL!|CALC!|FIELD!|BLOCKED!|CONNECT!|"
    r"UNKNOWN!|BUSY!|GETTING_DATA)|\bErr:5[0-9]{2}\b",
    re.IGNORECASE,
)


def odd_character(text: str) -> str | None:
    """The first character in `text` that looks like another or is invisible; None if none."""
    if text.isascii():
        return next((c for c in text if not c.isprintable()), None)
    foreign = {c for word in _WORD.findall(text) for c in _foreign(word)}
    return next((c for c in text if c in foreign or _is_odd(c)), None)


def called(character: str) -> str:
    """A character's name and code point, in ASCII."""
    name = unicodedata.name(character, "a control character")
    return f"U+{ord(character):04X} {name}"


def spreadsheet_error(text: str) -> str | None:
    """The error value of a spreadsheet in `text`, such as ``#REF!``; None if there is none."""
    found = _SPREADSHEET.search(text)
    return found.group() if found else None


def _is_odd(character: str) -> bool:
    if character.isascii():
        return not character.isprintable()
    category = unicodedata.category(character)
    if category in ("Pd", "Nd", "Zs", "Zl", "Zp", "Cf", "Cc", "Co", "Cn", "Cs"):
        return True
    # full-width, mathematical and superscript forms of ASCII
    alike = unicodedata.normalize("NFKC", character)
    if all(c.isascii() or c in _MARKS for c in alike) or character in _MARKS:
        return True
    return _INVISIBLE.match(character) is not None


def _foreign(word: str) -> list[str]:
    """Letters of another script in a word with ASCII letters, or that only looks like ASCII."""
    others = [c for c in word if c.isalpha() and not _is_latin(c)]
    is_mixed = any(c.isascii() and c.isalpha() for c in word)
    return others if is_mixed or all(c in _LETTERS for c in others) else []


def _is_latin(character: str) -> bool:
    return unicodedata.name(character, "").startswith("LATIN ")
