"""The evidence of a flow: whether it is complete, and its files."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.report.flow_records import FlowRecords
from pytest_wf.report.model import Link
from pytest_wf.report.view import FlowView


@dataclass(frozen=True)
class EvidenceFiles:
    """The result of `wf verify` when the page is drawn, and all files."""

    verified: bool
    #: Whether the flow that draws the page is still writing it.
    is_open: bool
    #: The findings, a sentence each.
    findings: tuple[str, ...]
    files: tuple[Link, ...]


def show(flow: FlowRecords) -> EvidenceFiles:
    """The files of `flow`, and findings in them."""
    folder = flow.folder
    return EvidenceFiles(
        folder.verified.ok,
        flow.is_running,
        (*folder.verified.findings, *folder.problems),
        tuple(flow.links.to(folder.path / name, name) for name in folder.names),
    )


VIEW = FlowView("evidence", show)
