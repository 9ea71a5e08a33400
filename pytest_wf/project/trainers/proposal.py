"""The proposal of `wf init`: the keys, the sweep, and the notes for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

#: The most alternatives that are named.
_SHOWN = 5
_COLUMNS = ("run_id", "config", "seed", "overrides", "notes")


@dataclass(frozen=True)
class Proposal:
    """How a repository trains, according to its files."""

    #: The family's name; '' if unknown.
    trainer: str
    #: What was found and chosen, and why, in one line.
    reason: str
    #: Notes: values to change, and alternatives.
    notes: tuple[str, ...] = ()
    #: TRAIN_WORKDIR_REL: relative to the top of the git repository.
    workdir: str = "."
    entrypoint: str = "train.py"
    #: TRAIN_COMMAND_TEMPLATE; '' for the default command.
    template: str = ""
    launcher: str = "torchrun"
    #: CHECKOUT_INSTALL_CMD; '' if no file says it.
    install: str = ""
    #: CHECKPOINT_PATTERNS besides the default ones.
    checkpoints: str = ""
    requires_gpu: bool = True
    #: The sweep's CSV; '' for the shipped one.
    sweep: str = ""
    #: The folder in the project with the data that the first row reads; '' if unknown or empty.
    data: str = ""
    #: DATA_DIR on this machine, and DATA_LINK; '' if the commit has the data, or it is unknown.
    data_dir: str = ""
    data_link: str = ""


def sweep_csv(rows: Sequence[dict[str, str]], *, has_config: bool) -> str:
    """A sweep of `rows`; without the column config unless `has_config`."""
    columns = [name for name in _COLUMNS if has_config or name != "config"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def listed(names: Sequence[str]) -> str:
    """The first of `names`, and the number of the others."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
