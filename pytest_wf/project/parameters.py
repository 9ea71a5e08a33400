"""The parameters of a row with typed values, from its config, its seed and its overrides.

All usual forms of an override give the same name and value::

    lr=0.1   --lr=0.1   --lr 0.1   lr 0.1   +optimizer.lr=1e-3   --flag   --no-flag

A value is typed by its form: a whole number, a number, true or false, otherwise text. A word in
none of these forms is kept as text under `ARGUMENTS`, so that no difference between rows is lost.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

Value = bool | int | float | str
Parameters = dict[str, Value]

#: The name for words that are not parameters.
ARGUMENTS = "arguments"
CONFIG, SEED = "config", "seed"

#: Usual names of a seed, alone or as the last part of a name: seed, data.random_seed.
_SEED_NAME = re.compile(r"(?:.*[./@:])?(?:\w+_)?(?:seed|seed_everything|random_state)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./@:-]*")
_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")
_TRUTH = {"true": True, "false": False}


def parameters_of(config: str, seed: int | None, overrides: str | Sequence[str]) -> Parameters:
    """The parameters of a row: its config and seed if it has them, then its overrides.

    `overrides` are the words, or the text of the CSV's cell. An override with the name of
    the row's config or seed is kept separately, as ``override.config`` or ``override.seed``.
    """
    own: Parameters = {}
    if config:
        own[CONFIG] = config
    if seed is not None:
        own[SEED] = seed
    found = parse(overrides)
    return own | {_beside(name, (CONFIG, SEED), found): value for name, value in found.items()}


def is_seed(name: str) -> bool:
    """Whether `name` is usual for a seed: rows that differ only by it are repetitions."""
    return _SEED_NAME.fullmatch(name) is not None


def parse(overrides: str | Sequence[str]) -> Parameters:
    """Overrides by name; of a repeated name, the last value counts."""
    words = _split(overrides) if isinstance(overrides, str) else list(overrides)
    found: Parameters = {}
    rest: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        bare = word.lstrip("-+~")
        name, equals, value = bare.partition("=")
        name = name.strip().replace("-", "_")
        place += 1
        if not _NAME.fullmatch(name) or _is_number(word):
            rest.append(word)
        elif equals:
            found[name] = typed(value)
        elif word.startswith(("-", "~")):
            values = _plain_words(words, place)
            if values:
                found[name] = typed(values[0]) if len(values) == 1 else " ".join(values)
                place += len(values)
            elif word.startswith("~") or not name.startswith("no_"):
                found[name] = not word.startswith("~")
            else:
                found[name[len("no_") :]] = False
        elif place < len(words) and _is_plain(words[place]):
            found[name] = typed(words[place])
            place += 1
        else:
            rest.append(word)
    if rest:
        found = {_beside(name, (ARGUMENTS,), found): value for name, value in found.items()}
        found[ARGUMENTS] = " ".join(rest)
    return found


def typed(text: str) -> Value:
    """`text` by its form: a whole number, a finite number, true or false; otherwise itself."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and not _LEADING_ZERO.match(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return _TRUTH.get(text.lower(), text)


def differing(rows: Iterable[Mapping[str, Value]]) -> list[str]:
    """The names whose values differ between rows, in order of first occurrence.

    A name that some rows lack differs, too.
    """
    seen: dict[str, set[tuple[bool, Value]]] = {}
    counts: dict[str, int] = {}
    total = 0
    for row in rows:
        total += 1
        for name, value in row.items():
            # True == 1
            seen.setdefault(name, set()).add((isinstance(value, bool), value))
            counts[name] = counts.get(name, 0) + 1
    return [name for name, values in seen.items() if len(values) > 1 or counts[name] < total]


def shown(value: Value | None) -> str:
    """A value as tables show it; empty for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _split(text: str) -> list[str]:
    """The words of a cell; split at blanks if its quotes are not balanced."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _beside(name: str, taken: Sequence[str], found: Mapping[str, Value]) -> str:
    """The name for an override that has the name of the row's own config or seed."""
    if name not in taken:
        return name
    name = f"override.{name}"
    return _beside(name, (name,), found) if name in found else name


def _plain_words(words: Sequence[str], start: int) -> list[str]:
    """The words from `start` on that can only be values, up to an option or an assignment."""
    end = start
    while end < len(words) and _is_plain(words[end]):
        end += 1
    return list(words[start:end])


def _is_plain(word: str) -> bool:
    """Whether a word can only be a value: not an option and not an assignment."""
    is_option = word.startswith(("-", "+", "~")) and not _is_number(word)
    name, equals, _ = word.partition("=")
    return not is_option and not (equals and _NAME.fullmatch(name))


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None
