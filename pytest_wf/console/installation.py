"""P50's installation in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_VERBS = ("added", "changed", "removed")
_MAX_CHARS = 300


def installation_line(facts: Mapping[str, Any]) -> str:
    """What CHECKOUT_INSTALL_CMD installed, by P50's facts; empty if it installed nothing.

    The facts come from a pod: malformed ones are left out.
    """
    if facts.get("verified_only") is True:
        return ""  # the facts are those of an earlier checkout
    if facts.get("install_skipped") is True:
        return "nothing to install: what CHECKOUT_INSTALL_CMD reads has not changed"
    done = facts.get("installation")
    if not isinstance(done, Mapping):
        return ""
    seconds, names = done.get("seconds"), done.get("of_torch")
    took = f" in {seconds:.1f} s" if isinstance(seconds, (int, float)) else ""
    counts = [(verb, done.get(verb)) for verb in _VERBS]
    said = ", ".join(f"{count} {verb}" for verb, count in counts if isinstance(count, int))
    of_torch = ", ".join(map(str, names)) if isinstance(names, list) and names else "unchanged"
    line = f"installed{took}: packages: {said}; torch and its packages: {of_torch}"
    return line if len(line) <= _MAX_CHARS else line[:_MAX_CHARS] + "\u2026"
