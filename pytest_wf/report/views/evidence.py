"""The evidence of a flow: whether it is whole, and its files."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.report.flow_records import FlowRecords
from pytest_wf.report.model import Link
from pytest_wf.report.view import FlowView


@dataclass(frozen=True)
class EvidenceFiles:
    """What `wf verify` says when the page is drawn, and all files."""

    verified: bool
    #: Whether the flow that draws the page still writes it.
    is_open: bool
    #: What is wrong, a sentence each.
    findings: tuple[str, ...]
    files: tuple[Link, ...]


def show(flow: FlowRecords) -> EvidenceFiles:
    """The files of `flow`, and what is wrong with them."""
    folder = flow.folder
    return EvidenceFiles(
        folder.verified.ok,
        flow.is_running,
        (*folder.verified.findings, *folder.problems),
        tuple(flow.links.to(folder.path / name, name) for name in folder.names),
    )


VIEW = FlowView("evidence", show)
