"""Numbers in text: a number is taken whole, or not at all.

Half a number is another number: of ``1,234.5`` neither ``1`` nor ``234.5`` was reported.

    number     ( plain | grouped ) [ suffix ] | "nan" | "inf", the last two in their spellings
    plain      as Python and JSON write it: 3, -0.5, .5, 1e-3
    grouped    thousands, separated by commas or underscores: 1,234.5  1_000
    suffix     a unit, or k, M or G (a thousand, a million, a thousand million), alone or before
               what is counted by time: 12ms  5k  12ktok/s

What can be read in two ways is not a number: ``1,5`` ``12m`` ``3B``; nor are dates, times,
versions, addresses, fractions, hexadecimal numbers and digits that are followed by letters.
"""

import re
from functools import lru_cache
from typing import Optional

_GROUPED = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:_[0-9]{3})+)(?:\.[0-9]*)?")

_COUNTED = (
    r"(?:tok|token|sample|img|image|ex|example|seq|batch|batche|it|iter|iteration|step|row)s?"
)
#: What is counted, by time.
RATE = _COUNTED + r"/(?:s|sec|min|h)(?:/gpu)?"
#: A unit that follows a number and does not change it.
UNIT = (
    r"(?:%|[mnuµμ]?s|secs?|seconds?|mins?|minutes?|hrs?|hours?|h|" + RATE + r"|"
    r"(?:[mu]?s|sec|min)/" + _COUNTED + r"|[kKMGT]i?B(?:/s)?|[kKMGT]bps|[kMG]Hz|"
    r"[kMGTP]FLOP(?:S|s|/s)|W|°C|dB|nats?|bits?)"
)
_SUFFIX = re.compile(r"(?:%s|([kKMG])(?:%s)?)?" % (UNIT, RATE))
_SUFFIX_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%/°µμ"
_FACTORS = {None: 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}

_NAN = re.compile(r"[-+]?nan(?:\([a-z0-9_]*\)?)?|[-+]?1\.#(?:[qs]nan|ind)[0-9]*", re.IGNORECASE)
_INFINITE = re.compile(r"([-+]?)(?:1\.#inf[0-9]*|inf(?:inity)?|∞)", re.IGNORECASE)


def number(text: str) -> Optional[float]:
    """The number that `text` is, NaN and the infinities included; None if it is not one."""
    # most numbers end in a digit, and have no suffix
    head = text if "0" <= text[-1:] <= "9" else text.rstrip(_SUFFIX_CHARS)
    factor = _factor(text[len(head) :]) if head is not text else 1.0
    # what Python reads as a number is one here, except 1_0 and digits of other scripts
    if factor is not None and head.isascii() and "_" not in head:
        try:
            return float(head) * factor
        except ValueError:
            pass
    return _uncommon(text, head, factor)


def _uncommon(text: str, head: str, factor: Optional[float]) -> Optional[float]:
    if factor is not None and _GROUPED.fullmatch(head):
        return float(head.replace(",", "").replace("_", "")) * factor
    if _NAN.fullmatch(text):
        return float("nan")
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return float(infinite.group(1) + "inf")
    # the end of a sentence; an ellipsis leaves more
    return number(text[:-1]) if text[-1:] == "." and text[-2:-1] != "." else None


@lru_cache(maxsize=256)
def _factor(suffix: str) -> Optional[float]:
    """The factor of a number with this suffix; None if it is not a suffix of numbers."""
    found = _SUFFIX.fullmatch(suffix)
    return _FACTORS[found.group(1)] if found else None
