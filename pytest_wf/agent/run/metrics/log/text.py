"""Log text without terminal escapes, and the shapes of its lines."""

import re
from typing import List, Tuple

# An unfinished command of a terminal ends with its line.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f]"
)
_CONTROLS = bytes([*range(0x09), *range(0x0B, 0x20)])
_ONE_DIGIT = bytes.maketrans(b"123456789", b"000000000")


#: Replacements for characters of other scripts' keyboards and of typesetting.
_SPELLINGS = {"\u00a0": " ", "\uff1a": ":", "\uff0c": ","}


def spelled(line: str) -> str:
    """`line` with blanks, colons and commas in ASCII, each character in its place."""
    if not line.isascii():
        for theirs, ours in _SPELLINGS.items():
            line = line.replace(theirs, ours)
    return line


def plain(text: str) -> str:
    """`text` without terminal escapes and control characters; line ends and tabs stay."""
    return _ESCAPES.sub("", text)


def lines_of(text: str) -> Tuple[List[str], List[bytes]]:
    """The lines of a text, and the shape of each: the line with 0 for every digit."""
    raw = text.encode("utf-8", "surrogatepass")
    shaped = raw.translate(_ONE_DIGIT, _CONTROLS)
    if len(shaped) != len(raw):
        text = plain(text)
        shaped = text.encode("utf-8", "surrogatepass").translate(_ONE_DIGIT)
    return text.split("\n"), shaped.split(b"\n")
