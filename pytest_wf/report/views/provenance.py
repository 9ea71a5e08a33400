"""The provenance of a flow's results."""

from __future__ import annotations

from pytest_wf.report.flow_records import FlowRecords
from pytest_wf.report.provenance import Group, provenance_of
from pytest_wf.report.view import FlowView


def show(flow: FlowRecords) -> tuple[Group, ...]:
    """Groups of names and values."""
    return provenance_of(flow.folder)


VIEW = FlowView("provenance", show, link="Provenance")
