"""The page that people open: one HTML file, drawn from a flow's evidence alone.

folder.py      a flow's folder as records, whole or not
runs.py        fetched runs, found through the evidence
curves.py      metrics.jsonl as curves, thinned
rows.py  phases.py  outcome.py  provenance.py  baseline.py    records as what the page says
running.py     what is known of a flow that runs
build.py       all that the views read
data.py        the same as the page's scripts read it
views/         the parts of the page: what each shows, and its template partial
page.py        the page as HTML; static/ has its frame, style and scripts
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["default_place"]


def default_place(folders: list[Path]) -> Path:
    """Where `wf report` puts the page: beside the one that a flow drew, or a carried folder.

    Never in the place of a flow's own page, which its record of views names, nor inside of a
    flow's folder, whose chain a new file would break.
    """
    folder = folders[0].resolve()
    base = folder.parent.parent if folder.parent.name == "flows" else folder.parent
    return base / f"report-{folder.name if len(folders) == 1 else 'compare'}.html"
