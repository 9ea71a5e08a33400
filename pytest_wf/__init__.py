"""Remote training runs as pytest items: each phase with a contract, a court and evidence."""

from __future__ import annotations

import importlib
import os
from typing import Any

__all__ = ["__version__", "load"]

__version__ = "0.2.0"


def load(*flow_dirs: str | os.PathLike[str], rank_by: str = "", frame: bool | None = None) -> Any:
    """The rows of one or more flows with typed values: a pandas data frame, else a list of dicts.

    `flow_dirs` are folders such as ``reports/flows/<flow_id>``. The rows of all flows are ranked
    together by `rank_by`, as in `WF_RANK_BY`; without it, as in the last flow. Both forms have the
    columns of ``wf results``: in a list, ``row["last.val_loss"]``.

    `frame` is True for a data frame (ImportError if pandas is not installed), False for a
    list, None for a data frame if pandas is installed. Raises `pytest_wf.errors.InputError` if
    `rank_by` is not a valid rule, or names every folder that has no flow.
    """
    # by its name: an import would be circular, as every module may ask for the version
    results = importlib.import_module("pytest_wf.report.results")
    return results.load(flow_dirs, rank_by, frame)
