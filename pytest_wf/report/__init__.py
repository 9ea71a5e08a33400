"""The HTML report: one file, drawn only from a flow's evidence.

folder.py          the records of a flow's folder, complete or not
runs.py            fetched runs, found through the evidence
curves.py          metrics.jsonl as thinned curves
rows.py  phases.py  outcome.py  provenance.py  baseline.py   records in the page's terms
running.py         data of a flow that is running
build.py           the data of all views
data.py            the same for the page's scripts
views/             the parts of the page: the data of each, and its template partial
page.py            the page as HTML; static/ has its frame, style and scripts
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["default_place"]


def default_place(folders: list[Path]) -> Path:
    """The path for the page of `wf report`: beside the one that a flow drew, or a copied folder.

    Never the path of a flow's own page, which its record of views names, nor inside a
    flow's folder, whose chain a new file would break.
    """
    folder = folders[0].resolve()
    base = folder.parent.parent if folder.parent.name == "flows" else folder.parent
    return base / f"report-{folder.name if len(folders) == 1 else 'compare'}.html"
