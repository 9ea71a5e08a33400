"""Remote training runs as pytest items: each phase with a contract, a court and evidence."""

from __future__ import annotations

import importlib
import os
from typing import Any

__all__ = ["__version__", "load"]

__version__ = "0.2.0"


def load(*flow_dirs: str | os.PathLike[str], rank_by: str = "", frame: bool | None = None) -> Any:
    """The rows of one or more flows with typed values: a pandas data frame, else a list of dicts.

    `flow_dirs` are folders such as ``reports/flows/<flow_id>``. Rows of all of them are ranked
    together, by `rank_by` as in `WF_RANK_BY`, else as the last flow was. Both forms have the same
    columns, those of ``wf results``: in a list, ``row["last.val_loss"]``.

    `frame` is True for a data frame (ImportError where pandas is not installed), False for a
    list, None for a data frame where pandas is there. Raises `pytest_wf.errors.InputError` where
    `rank_by` is no rule, or with every folder that is no flow's.
    """
    # by its name: an import would make a circle, as every module may ask for the version
    results = importlib.import_module("pytest_wf.report.results")
    return results.load(flow_dirs, rank_by, frame)
