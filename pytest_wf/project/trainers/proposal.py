"""What `wf init` proposes, as a record: the keys, the sweep, and what is said to people."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

#: How many alternatives are named.
_SHOWN = 5
_COLUMNS = ("run_id", "config", "seed", "overrides", "notes")


@dataclass(frozen=True)
class Proposal:
    """How a repository trains, as far as its files say."""

    #: The family's name; '' where it is not known.
    trainer: str
    #: What was found and chosen, and why: one line.
    reason: str
    #: What to change, and what else there is.
    notes: tuple[str, ...] = ()
    #: TRAIN_WORKDIR_REL: relative to the top of the git repository.
    workdir: str = "."
    entrypoint: str = "train.py"
    #: TRAIN_COMMAND_TEMPLATE; '' for the harness's own command.
    template: str = ""
    launcher: str = "torchrun"
    #: CHECKOUT_INSTALL_CMD; '' where no file says it.
    install: str = ""
    #: CHECKPOINT_PATTERNS beside the default ones.
    checkpoints: str = ""
    requires_gpu: bool = True
    #: The sweep's CSV; '' for the one that is shipped.
    sweep: str = ""


def sweep_csv(rows: Sequence[dict[str, str]], *, has_config: bool) -> str:
    """A sweep of `rows`; without the column config unless `has_config`."""
    columns = [name for name in _COLUMNS if has_config or name != "config"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def listed(names: Sequence[str]) -> str:
    """The first of `names`, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
