"""Write docs/configuration.md from the config model; with --check say whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_wf.core.keys import KEYS, POD_ROOT, Key

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = f"""\
# Configuration

<!-- Written by `make docs` from pytest_wf/core/keys.py; edit that instead. -->

`flows/workflow.env` holds `KEY=VALUE` lines: comments begin with `#`, values may be quoted. It is
read strictly and never run. Unknown keys, keys that are there twice and values of the wrong type
are errors, told all at once. `${{KEY}}` takes the value of another key where it is unquoted or in
double quotes; single quotes are literal. `${{{POD_ROOT}}}` is built in: `/mnt` on a remote pod,
`.wf/pod` in the project on the local one.

A key without a default may be empty or left out, unless it is **required**. A target is required
too, `LIUM_TARGET` or `OPS_DEFAULT_HOST`, where no provider rents one.

| key | type | default | read by | meaning |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    lines, section = [], ""
    for key in KEYS:
        if key.section != section:
            section = key.section
            lines.append(f"| **{section}** | | | | |")
        lines.append(line(key))
    return HEAD + "\n".join(lines) + "\n"


def line(key: Key) -> str:
    """The table's line of `key`."""
    default = f"`{key.default}`" if key.default else "**required**" if key.required else ""
    cells = (f"`{key.name}`", key.type, default, key.phase, key.doc)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(argv: list[str]) -> int:
    """0 if the page was written, or is up to date."""
    wanted = page()
    if argv == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{PAGE.name} is not what the config model says. Run: make docs", file=sys.stderr)
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
