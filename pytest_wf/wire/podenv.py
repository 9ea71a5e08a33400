"""The pod's copy of the config: ``KEY='shell-quoted value'`` lines after a comment, sorted by key.

A shell may source this form, but pytest-wf never does: it is read back by
`parse`, which takes exactly what `render` writes.
"""

import re
from typing import Dict, Mapping, Tuple

from pytest_wf.wire.ownership import POD_CONFIG

_KEY = re.compile(r"[A-Z][A-Z0-9_]*")


def render(values: Mapping[str, str]) -> bytes:
    """`values` in the pod's form. Raises ValueError for a name that is not a config key."""
    lines = []
    for key in sorted(values):
        if _KEY.fullmatch(key) is None:
            raise ValueError("not a config key: %r" % key)
        lines.append("%s=%s\n" % (key, _quoted(values[key])))
    return POD_CONFIG + "".join(lines).encode("utf-8")


def parse(raw: bytes) -> Dict[str, str]:
    """The values that `render` wrote. Raises ValueError for anything else."""
    if not raw.startswith(POD_CONFIG):
        raise ValueError("line 1: not what a config sync writes")
    text = raw.decode("utf-8")
    values: Dict[str, str] = {}
    position = len(POD_CONFIG)
    while position < len(text):
        equals = text.find("=", position)
        key = text[position:equals] if equals >= 0 else ""
        if _KEY.fullmatch(key) is None:
            raise ValueError("line %d: not KEY='value'" % _line(text, position))
        value, position = _unquoted(text, equals + 1)
        if key in values:
            raise ValueError("line %d: %s appears twice" % (_line(text, position), key))
        values[key] = value
    return values


def _quoted(value: str) -> str:
    # as shlex.quote does, but plain words are quoted too
    return "'" + value.replace("'", "'\"'\"'") + "'"


def _unquoted(text: str, start: int) -> Tuple[str, int]:
    pieces = []
    position = start
    while True:
        if text[position : position + 1] == "'":
            end = text.find("'", position + 1)
            if end < 0:
                raise ValueError("line %d: the quote is not closed" % _line(text, start))
            pieces.append(text[position + 1 : end])
            position = end + 1
        elif text[position : position + 3] == '"\'"':
            pieces.append("'")
            position += 3
        elif text[position : position + 1] == "\n" and position > start:
            return "".join(pieces), position + 1
        else:
            raise ValueError("line %d: not KEY='value'" % _line(text, start))


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
