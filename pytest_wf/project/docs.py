"""Writes `docs/configuration.md` from the table of keys.

python -m pytest_wf.project.docs > docs/configuration.md
"""

from __future__ import annotations

import sys

from pytest_wf.config.keys import KEYS, Key
from pytest_wf.project import manifest

__all__ = ["configuration"]

_HEAD = """\
# Configuration

Generated from the table of keys by `python -m pytest_wf.project.docs`; a test compares the two.

One file, `flows/workflow.env`, says everything that changes from user to user and project to
project. It is read by a strict reader and never executed; every mistake in it is reported
at once, with line, key, reason and remedy, before anything is contacted.

## The file

- `KEY=VALUE` lines, `#` comments, UTF-8. A leading `export ` is ignored. A value stands on
  one line.
- A value without quotes ends at ` #` or at the end of its line. Single quotes keep their
  content as it is. In double quotes `\\"`, `\\\\`, `\\$` and `` \\` `` stand for the second
  character.
- `${OTHER_KEY}` stands for the value of another key, outside single quotes. The environment
  is never read into a value. `${WF_POD_ROOT}` is built in: `/mnt` on a remote pod,
  `<project>/.wf/pod` on the local one.
- Command keys (CHECKOUT_INSTALL_CMD, CHECKOUT_POST_CMD, TRAIN_COMMAND_TEMPLATE) are the
  pod's shell's: nothing in them is expanded here. In all others `$(...)`, backticks and `$NAME`
  are refused.
- An empty value is the same as no line, except where the table says that it means none.
- No secret belongs in the file. Keys such as `*_TOKEN` are refused; put the value into your
  environment and the variable's name into `WF_SECRET_ENV`.
- Relative paths on this machine are below the project's root.

Another file in its place (`WORKFLOW_CONFIG` or `--wf-config`) is refused unless
`flows/workflow.env` says `WF_ALLOW_OVERRIDE=1`.

## The keys

"""

_SWEEP = """
## The sweep's CSV

`{columns}`, in any order, and if wanted {optional}.
RFC 4180 quoting, UTF-8 with or without BOM, any line end; empty lines only at the end.

| column | what it holds |
|---|---|
| `run_id` | letters, digits, `.`, `_` and `-`, at most 128; unique, capitals apart |
| `config` | path below `TRAIN_WORKDIR_REL` |
| `seed` | integer |
| `overrides` | further arguments, split as a shell does and passed as they are |
| `notes` | anything |
| `timeout_secs` | in place of `RUN_TIMEOUT_SECS` |
| `gpus` | in place of `GPUS_PER_RUN` |
| `retries` | in place of `RUN_RETRIES` |
| `expect` | conditions on metrics, besides `WF_EXPECT`: `val_loss<3.3; acc>=0.9*baseline` |

`SWEEP_START_AT` leaves out the rows before a run_id, then `SWEEP_MATCH` keeps the rows whose
run_id matches a glob (`*`, `?`, `[...]`, capitals count), then `SWEEP_LIMIT` keeps the first
ones. A selection that leaves no row is an error.
"""


def configuration() -> str:
    """The whole page, as Markdown."""
    lines = ["| key | section | type | default | read by | meaning |", "|---|---|---|---|---|---|"]
    lines.extend(_row(key) for key in KEYS)
    sweep = _SWEEP.format(
        columns=",".join(manifest.COLUMNS),
        optional=", ".join(f"`{name}`" for name in manifest.OPTIONAL_COLUMNS),
    )
    return _HEAD + "\n".join(lines) + "\n" + sweep


def _row(key: Key) -> str:
    default = "**required**" if key.required else f"`{key.default}`" if key.default else ""
    doc = f"{key.doc} Empty means none." if key.empty_counts else key.doc
    cells = [f"`{key.name}`", key.section, key.type, default, key.phase, doc]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(configuration())
