"""Text from elsewhere, made fit to be shown: it must not steer a terminal or break a file."""

from __future__ import annotations

import re

__all__ = ["readable"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def readable(text: str) -> str:
    """`text` without terminal escapes, other control characters made visible.

    What remains is legal in XML 1.0 too.
    """
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
