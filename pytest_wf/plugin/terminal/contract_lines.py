"""The contract lines: stable output of a flow for programs, one line per fact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_wf.console.columns import Line, Part
from pytest_wf.flow.header import header_lines
from pytest_wf.flow.rows.row_text import counts_line
from pytest_wf.plugin.failure_text import indented, relative_path

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState


class ContractLines:
    """A flow in the lines of the terminal contract."""

    #: Whether pytest's own letters and progress are shown, too.
    has_letters = True

    def header(self, flow: FlowState) -> list[Line]:
        """The header, one key=value per line."""
        return _plain(header_lines(flow.project, mode="flow", flow_id=flow.flow_id))

    def phase(self, record: PhaseRecord, verdict: Verdict, flow: FlowState) -> list[Line]:
        """A phase's outcome and its court."""
        code = record.contract.code
        failure_code = record.failure.code if record.failure is not None else 0
        det, const = verdict.deterministic, verdict.constitutional
        pod = f" POD={flow.member}" if flow.member else ""
        lines = [
            f"PHASE={code}{pod} STATUS={record.status} CODE={failure_code or verdict.code} "
            f"ARTIFACT={relative_path(record.evidence_path)}",
            f"PHASE={code}{pod} COURT={'pass' if verdict.phase_pass else 'fail'} DET={det} "
            f"CONST={const} VERDICT={relative_path(record.verdict_path)}",
        ]
        if not verdict.phase_pass and not verdict.enforced:
            lines.append(f"{code}: the court failed and is not enforced (WF_PHASE_COURT_ENFORCE=0)")
        return _plain(lines)

    def halted(self, code: str, flow: FlowState) -> list[Line]:
        """A phase that a halt skipped: pytest's own outcome says so."""
        return []

    def end(self, flow: FlowState, summary: Mapping[str, Any], page: str) -> list[Line]:
        """The rows' counts, the halt, if any, and the paths of the evidence and the page."""
        lines = []
        if flow.watched.rows:
            lines.append(f"rows: {counts_line(flow.watched.rows)}")
        if flow.halt is not None:
            lines.append(f"WF-{flow.halt.code} {flow.halt}: {indented(flow.halt.text)}")
        lines.append(f"evidence: {relative_path(str(flow.store.dir))}")
        lines.append(f"chain head: {flow.store.head}")
        if flow.store.summary_digest:
            lines.append(f"summary digest: {flow.store.summary_digest}")
        return _plain([*lines, *([page] if page else [])])


def _plain(lines: list[str]) -> list[Line]:
    return [[Part(line)] for line in lines]
