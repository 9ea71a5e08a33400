"""The views of the page: one module and template partial each.

To add one, write ``<name>.py`` with a `VIEW` and ``<name>.html.j2`` beside it, and list it here.
"""

from __future__ import annotations

from pytest_wf.report.view import FlowView, PageView
from pytest_wf.report.views import (
    compared,
    curves,
    differences,
    evidence,
    failed,
    findings,
    parameters,
    provenance,
    row_table,
    timeline,
    trackers,
    verdict,
)

__all__ = ["VIEWS"]

#: In the order of the page.
VIEWS: tuple[FlowView | PageView, ...] = (
    verdict.VIEW,
    curves.VIEW,
    row_table.VIEW,
    parameters.VIEW,
    compared.VIEW,
    differences.VIEW,
    findings.VIEW,
    failed.VIEW,
    timeline.VIEW,
    trackers.VIEW,
    provenance.VIEW,
    evidence.VIEW,
)
