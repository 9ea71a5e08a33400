"""Validation of METRICS_LOG_PATTERN, a regular expression.

The pattern is searched in every line that a trainer prints, with Python's `re`, which backtracks.
The time depends on the number of ways in which a line can be matched in part. A pattern is refused
if that number may be more than about the cube of the line's length:

- A repeat is *free* if it may match both what may be before it and what may be after it, so
  that its beginning and its end can be moved: the ``.*`` of ``a.*b``, but not the ``[0-9]+`` of
  ``=[0-9]+``. Each free repeat, and the place where the search begins, multiplies the number of
  ways by the length of the line.
- Within a repeated group, the next character must decide which way to go.

The pod's Python may be older than this one, so syntax that Python 3.8 does not know is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any

try:
    from re import _parser as sre_parse  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_parse

from pytest_wf.config.types import BadValue, Kind

#: The most free repeats on one path through a pattern.
_MOST_FREE = 2
#: The most paths through alternatives that the next character does not decide.
_MOST_WAYS = 256
#: The most characters of a pattern.
_LONGEST = 1000

_PAIR = ("name", "value")
_EXAMPLE = "Name what is a number, as in loss=(?P<loss>\\S+)"
_ALTERNATIVES = (
    "Write an alternative for each metric, as in loss=(?P<loss>\\S+)|acc=(?P<acc>\\S+): "
    "all matches in a line count."
)

#: A set of characters is a bit mask: a bit for each ASCII character, one for all others.
_OTHERS = 1 << 128
_ALL = (1 << 129) - 1


def _log_pattern(text: str) -> str:
    if len(text) > _LONGEST:
        raise BadValue(f"longer than {_LONGEST} characters", "Write a shorter one.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            names = re.compile(text).groupindex
            items = sre_parse.parse(text)
        except Warning as e:
            raise BadValue(
                f"read otherwise by other versions of Python: {e}", "Escape what it names."
            ) from None
        except (re.error, RecursionError, OverflowError) as e:
            raise BadValue(
                f"not a regular expression of Python: {e}",
                "Put single quotes round the whole value, and try it with Python's re.compile.",
            ) from None
    if not names:
        raise BadValue("without a named group", f"{_EXAMPLE}.")
    for one, other in (_PAIR, _PAIR[::-1]):
        if one in names and other not in names:
            reason = f"with the group '{one}' and without '{other}'"
            raise BadValue(reason, f"Write both, as in (?P<name>\\w+)=(?P<value>\\S+). {_EXAMPLE}.")
    is_anchored = len(items) > 0 and items[0] == (sre_parse.AT, sre_parse.AT_BEGINNING)
    before = 0 if is_anchored else _ALL
    _Ways().through(items, 0, before, 0, can_fail=False, decided=False)
    return text


#: A regular expression that finds metrics in a log line.
LOG_PATTERN = Kind("regular expression of Python", _log_pattern, verbatim=True)


class _Ways:
    """Counts the ways in which a pattern can be matched in part, and refuses too many."""

    def __init__(self) -> None:
        self._ways = 1
        #: Repeats seen so far, for messages: several may be written alike.
        self._repeats = 0

    def through(
        self,
        items: Sequence[Any],
        free: int,
        before: int,
        behind: int,
        *,
        can_fail: bool,
        decided: bool,
    ) -> int:
        """The number of free repeats at the end of `items`, with `free` before them.

        `before` and `behind` are the characters that may be before and after `items`. `can_fail`
        says whether the text after them may not match, `decided` whether the next character must
        decide between alternatives. Raises BadValue.
        """
        for place, (op, value) in enumerate(items):
            left = _last(items[:place], before)
            rest = items[place + 1 :]
            right = _first(rest, behind)
            fails = can_fail or any(not _may_be_empty(item) for item in rest) or _asserts(rest)
            if op in _REPEATS:
                free = self._repeat(items[place], free, left, right, fails, decided)
            elif op is sre_parse.SUBPATTERN:
                free = self.through(value[3], free, left, right, can_fail=fails, decided=decided)
            elif op is sre_parse.BRANCH:
                self._choose(items[place], right, decided)
                free = max(
                    self.through(branch, free, left, right, can_fail=fails, decided=decided)
                    for branch in value[1]
                )
            elif op in (sre_parse.ASSERT, sre_parse.ASSERT_NOT):
                least, most = value[1].getwidth()
                if least != most:
                    raise BadValue(
                        "with text of no fixed length in a lookahead", "Match that text instead."
                    )
            elif op not in _PLAIN:
                raise BadValue(
                    f"with {_UNKNOWN.get(str(op), str(op).lower())}, which is not searched for",
                    "Write it without.",
                )
        return free

    def _repeat(
        self, item: Any, free: int, left: int, right: int, can_fail: bool, decided: bool
    ) -> int:
        least, most, body = item[1]
        self._repeats += 1
        number = self._repeats
        first = _first(body, 0)
        is_open = least != most and bool(first & right)
        single = _chars(body[0]) if len(body) == 1 else 0
        if single:
            is_free = is_open and bool(single & left)
            is_undecided = is_open
        else:
            is_free = is_undecided = is_open
            widths = body.getwidth()
            if most > 1 and (not widths[0] or (is_open and widths[0] != widths[1])):
                raise self._refusal(item, number, "repeats what is itself of any length")
        if decided and is_undecided:
            raise self._refusal(item, number, "is repeated, and may end at several places")
        if is_free:
            free += 1
        scanned = free + (not is_free and bool(first & left) and least != most)
        if can_fail and scanned > _MOST_FREE:
            raise self._refusal(item, number, "may begin and end at too many places")
        if single:
            return free
        if most > 1:
            left, right, decided = left | _last(body, 0), right | first, True
        return self.through(body, free, left, right, can_fail=can_fail, decided=decided)

    def _choose(self, item: Any, right: int, decided: bool) -> None:
        seen = 0
        for branch in item[1][1]:
            first = _first(branch, right)
            if seen & first:
                if decided:
                    raise BadValue(
                        f"with alternatives in a repeat that begin alike: {_shown(item)}",
                        "Let each begin with a character of its own, or repeat none of them.",
                    )
                self._ways *= len(item[1][1])
                break
            seen |= first
        if self._ways > _MOST_WAYS:
            raise BadValue(f"with too many alternatives, at {_shown(item)}", _ALTERNATIVES)

    def _refusal(self, item: Any, number: int, why: str) -> BadValue:
        return BadValue(
            f"takes too long on some lines: its repeat {number}, {_shown(item)}, {why}",
            _ALTERNATIVES,
        )


_REPEATS = (sre_parse.MAX_REPEAT, sre_parse.MIN_REPEAT)
_SINGLE = (sre_parse.LITERAL, sre_parse.NOT_LITERAL, sre_parse.ANY, sre_parse.IN)
_PLAIN = (*_SINGLE, sre_parse.AT)
_UNKNOWN = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}


def _asserts(items: Sequence[Any]) -> bool:
    """Whether `items` match at a position only, such as the end of a line."""
    return any(op not in (*_SINGLE, *_REPEATS) for op, _ in items)


def _may_be_empty(item: Any) -> bool:
    op, value = item
    if op in _REPEATS:
        return bool(value[0] == 0 or not value[2].getwidth()[0])
    if op is sre_parse.SUBPATTERN:
        return not value[3].getwidth()[0]
    if op is sre_parse.BRANCH:
        return any(not branch.getwidth()[0] for branch in value[1])
    return op not in _SINGLE


def _first(items: Sequence[Any], behind: int) -> int:
    """The characters that `items` may begin with, including `behind` if they may be empty."""
    found = 0
    for item in items:
        found |= _at_end(item, _first)
        if not _may_be_empty(item):
            return found
    return found | behind


def _last(items: Sequence[Any], before: int) -> int:
    """The characters that `items` may end with, including `before` if they may be empty."""
    found = 0
    for item in reversed(list(items)):
        found |= _at_end(item, _last)
        if not _may_be_empty(item):
            return found
    return found | before


def _at_end(item: Any, end: Callable[[Sequence[Any], int], int]) -> int:
    op, value = item
    if op in _REPEATS:
        return end(value[2], 0)
    if op is sre_parse.SUBPATTERN:
        return end(value[3], 0)
    if op is sre_parse.BRANCH:
        return reduce(or_, (end(branch, 0) for branch in value[1]))
    return _chars(item)


def _chars(item: Any) -> int:
    """The characters that a single item matches, in either case; 0 if it is not a single one."""
    op, value = item
    if op is sre_parse.LITERAL:
        return _either_case(_bit(value))
    if op is sre_parse.NOT_LITERAL:
        return _either_case(_ALL & ~_bit(value)) | _OTHERS
    if op is sre_parse.ANY:
        return _ALL
    if op is not sre_parse.IN:
        return 0
    found, is_negated = 0, False
    for kind, what in value:
        if kind is sre_parse.NEGATE:
            is_negated = True
        elif kind is sre_parse.LITERAL:
            found |= _bit(what)
        elif kind is sre_parse.RANGE:
            found |= reduce(or_, (_bit(c) for c in range(what[0], min(what[1], 128) + 1)), 0)
            found |= _OTHERS if what[1] >= 128 else 0
        else:
            found |= _CATEGORIES[what]
    return _either_case((_ALL & ~found) | _OTHERS if is_negated else found)


def _bit(char: int) -> int:
    return 1 << char if char < 128 else _OTHERS


def _category(escape: str) -> int:
    return reduce(or_, (1 << c for c in range(128) if re.match(escape, chr(c))), _OTHERS)


_ESCAPES = {
    sre_parse.CATEGORY_DIGIT: r"\d",
    sre_parse.CATEGORY_NOT_DIGIT: r"\D",
    sre_parse.CATEGORY_SPACE: r"\s",
    sre_parse.CATEGORY_NOT_SPACE: r"\S",
    sre_parse.CATEGORY_WORD: r"\w",
    sre_parse.CATEGORY_NOT_WORD: r"\W",
}
_CATEGORIES = {category: _category(escape) for category, escape in _ESCAPES.items()}
_LETTERS = _category("[a-z]") & ~_OTHERS


def _either_case(found: int) -> int:
    """`found` with the letters of the other case too, as if the pattern ignored case."""
    return found | (found & _LETTERS) >> 32 | (found & (_LETTERS >> 32)) << 32


def _shown(item: Any) -> str:
    """Approximately the source of an item."""
    op, value = item
    if op in _REPEATS:
        least, most, body = value
        marks = {(0, 1): "?", (0, sre_parse.MAXREPEAT): "*", (1, sre_parse.MAXREPEAT): "+"}
        text = "".join(map(_shown, body))
        text = text if len(body) == 1 and body[0][0] not in _REPEATS else f"(?:{text})"
        bound = "" if most == sre_parse.MAXREPEAT else most
        times = f"{{{least}}}" if least == most else f"{{{least},{bound}}}"
        mark = marks.get((least, most), times)
        return text + mark + ("?" if op is sre_parse.MIN_REPEAT else "")
    if op is sre_parse.SUBPATTERN:
        return f"({''.join(map(_shown, value[3]))})"
    if op is sre_parse.BRANCH:
        return "|".join("".join(map(_shown, branch)) for branch in value[1])
    if op is sre_parse.LITERAL:
        return chr(value)
    if op is sre_parse.NOT_LITERAL:
        return f"[^{chr(value)}]"
    if op is sre_parse.IN:
        words = "".join(map(_member, value))
        return words if len(value) == 1 and words.startswith("\\") else f"[{words}]"
    return "." if op is sre_parse.ANY else ""


def _member(member: Any) -> str:
    kind, what = member
    if kind is sre_parse.NEGATE:
        return "^"
    if kind is sre_parse.LITERAL:
        return chr(what)
    if kind is sre_parse.RANGE:
        return f"{chr(what[0])}-{chr(what[1])}"
    return _ESCAPES[what]
