"""What a flow shows: the terminal contract, JUnit properties, Allure attachments, failures.

All of it is drawn from records that are on disk already; nothing here decides anything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest import junitxml

from pytest_wf.core.records import Verdict
from pytest_wf.errors import CourtFailed
from pytest_wf.flow.header import header_lines
from pytest_wf.flow.phase import PhaseRecord
from pytest_wf.plugin.terminal import STARTED_ON_A_TERMINAL
from pytest_wf.wire.redact import Redactor

if TYPE_CHECKING:
    from pytest_wf.flow.lifecycle import Flow

__all__ = ["Reporting"]


class Reporting:
    """The views of one flow that pytest and its reporters show."""

    def __init__(self, config: pytest.Config, own_allure_dir: Path | None) -> None:
        self._config = config
        #: Where Allure results go, unless the user asked for another place.
        self._own_allure_dir = own_allure_dir
        #: Set when the plan is whole and the flow begins.
        self.flow: Flow | None = None
        #: Whether somebody sits at a terminal.
        self.interactive = STARTED_ON_A_TERMINAL
        # pytest captures file descriptor 1 while a phase runs; this copy is the real one,
        # and capture is suspended while plugins are configured
        self._live = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="replace")
        self._lines: dict[str, list[str]] = {}

    # ---- terminal -----------------------------------------------------------------------

    def header(self) -> None:
        """Print the header of the terminal contract."""
        assert self.flow is not None
        flow = self.flow
        self._write(header_lines(flow.project, mode="flow", flow_id=flow.flow_id))

    def say(self, text: str) -> None:
        """A line for whoever watches, while a phase is running."""
        redactor = self.flow.redactor if self.flow is not None else Redactor()
        self._live.write(f"wf: {redactor.text(text)}\n")

    def phase_ended(self, item: pytest.Item, record: PhaseRecord, verdict: Verdict) -> None:
        """Keep the phase's contract lines for its report, and hand its facts to JUnit and
        Allure."""
        self._lines[item.nodeid] = _phase_lines(record, verdict)
        properties = {
            "wf.phase": record.contract.code,
            "wf.status": record.status,
            "wf.code": verdict.code,
            "wf.verdict": "pass" if verdict.phase_pass else "fail",
            "wf.evidence_sha256": verdict.evidence_sha256,
            "wf.evidence": record.evidence_path,
        }
        if record.skipped:
            properties["wf.skip_reason"] = record.skipped
        if record.contract.code == "P99" and record.verdict_sha256:
            properties["wf.chain_head"] = record.verdict_sha256
        item.user_properties.extend((k, str(v)) for k, v in properties.items())
        self._allure_phase(record)

    def phase_lines(self, record: PhaseRecord, verdict: Verdict) -> None:
        """Print a phase's contract lines at once."""
        self._write(_phase_lines(record, verdict))

    def row_ended(self, item: pytest.Item, run_id: str) -> None:
        """Hand a row's facts to JUnit and Allure."""
        assert self.flow is not None
        row: dict[str, Any] = next(
            (r for r in self.flow.last_rows() if r["run_id"] == run_id), {"run_id": run_id}
        )
        facts = {
            "wf.run_id": run_id,
            "wf.row_state": row.get("state", "unknown"),
            "wf.attempts": row.get("attempts", 0),
            "wf.exit_code": row.get("exit_code"),
            "wf.failure_class": row.get("failure_class"),
            "wf.duration_s": row.get("duration_s"),
        }
        facts.update({f"wf.metric.{k}": v for k, v in (row.get("metrics") or {}).items()})
        item.user_properties.extend((k, str(v)) for k, v in facts.items() if v is not None)
        allure = self._allure()
        if allure is not None:
            allure.dynamic.parent_suite("sweep")
            allure.dynamic.label("run_id", run_id)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Print the contract lines right behind pytest's own word on the phase."""
        self._write(self._lines.pop(nodeid, []))

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count rows that were launched and not awaited by a name of their own."""
        if report.when != "call" or not report.skipped or not isinstance(report.longrepr, tuple):
            return None
        if not report.longrepr[2].startswith("Skipped: launched, not awaited"):
            return None
        return "launched", "l", "LAUNCHED"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The last words: where the flow stands, and where its evidence lies."""
        flow = self.flow
        if flow is None:
            return
        folder = flow.store.dir
        if flow.halt is not None:
            terminalreporter.write_line(
                f"WF-{flow.halt.code} {flow.halt}: {flow.redactor.text(flow.halt.text)}"
            )
        terminalreporter.write_line(f"evidence: {folder}")
        terminalreporter.write_line(f"chain head: {flow.store.head}")

    def pytest_unconfigure(self) -> None:
        """Close the copy of stdout."""
        self._live.close()

    def _write(self, lines: list[str]) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or not lines:
            return
        terminal.ensure_newline()
        if terminal._tw.width_of_current_line:
            terminal.write_line("")  # under -q the reporter forgets that it is in mid-line
        redactor = self.flow.redactor if self.flow is not None else Redactor()
        for line in lines:
            terminal.write_line(redactor.text(line))

    # ---- failures -----------------------------------------------------------------------

    def court_text(self, record: PhaseRecord, verdict: Verdict) -> str:
        """What a failed court says: why, which laws, where the evidence is, what to do next."""
        lines = [f"{record.contract.code} {record.contract.name}: code {verdict.code}"]
        if record.failure is not None:
            lines.append(record.failure.text)
        lines.append(
            f"court: deterministic {verdict.deterministic}, constitutional {verdict.constitutional}"
        )
        if verdict.halt_reason:
            lines.append(f"why: {verdict.halt_reason}")
        lines.extend(f"law {law}: {_law_title(law)}" for law in verdict.violated_laws)
        lines.append(f"evidence: {record.evidence_path or 'not written'}")
        if verdict.suggested_next_command:
            lines.append(f"next: {verdict.suggested_next_command}")
        return "\n".join(lines)

    def long_text(self, item: pytest.Item, error: CourtFailed) -> str:
        """The court's text, behind the traceback of what the phase's own body raised."""
        cause = error.__cause__
        if cause is None or not _is_the_authors(cause):
            return str(error)
        shown = item.repr_failure(pytest.ExceptionInfo.from_exception(cause))
        return f"{shown}\n\n{error}"

    def redact(self, report: pytest.TestReport) -> None:
        """Mask secrets in a report before any reporter sees it: an assertion on os.environ
        prints the whole environment."""
        redactor = self.flow.redactor if self.flow is not None else Redactor()
        if not redactor:
            return
        if report.longrepr is not None and not isinstance(report.longrepr, tuple):
            report.longrepr = redactor.text(str(report.longrepr))
        report.sections = [(name, redactor.text(text)) for name, text in report.sections]
        report.user_properties = [
            (name, redactor.text(str(value))) for name, value in report.user_properties
        ]

    # ---- files --------------------------------------------------------------------------

    def write_no_reports(self) -> None:
        """A flow that was refused at collection leaves no report behind, and loses no old one."""
        junitxml.pytest_unconfigure(self._config)
        if self._own_allure_dir is not None:
            for folder in (self._own_allure_dir, self._own_allure_dir.parent):
                try:
                    folder.rmdir()  # only where it is empty: the reporter makes it early
                except OSError:
                    break

    def clear_old_results(self) -> None:
        """Remove the Allure results of earlier flows, where the folder is ours."""
        if self._own_allure_dir is not None:
            for pattern in ("*-result.json", "*-container.json", "*-attachment*"):
                for path in self._own_allure_dir.glob(pattern):
                    path.unlink()

    def _allure(self) -> Any:
        if not self._config.pluginmanager.hasplugin("allure_listener"):
            return None
        import allure

        return allure

    def _allure_phase(self, record: PhaseRecord) -> None:
        allure = self._allure()
        if allure is None:
            return
        allure.dynamic.title(f"{record.contract.code} {record.contract.name}")
        allure.dynamic.parent_suite("lifecycle")
        allure.dynamic.tag(record.contract.code)
        for name, path in (("evidence", record.evidence_path), ("verdict", record.verdict_path)):
            if path and os.path.isfile(path):
                allure.attach.file(path, name, allure.attachment_type.JSON)


def _phase_lines(record: PhaseRecord, verdict: Verdict) -> list[str]:
    code = record.contract.code
    failure_code = record.failure.code if record.failure is not None else 0
    det, const = verdict.deterministic, verdict.constitutional
    lines = [
        f"PHASE={code} STATUS={record.status} CODE={failure_code or verdict.code} "
        f"ARTIFACT={record.evidence_path}",
        f"PHASE={code} COURT={'pass' if verdict.phase_pass else 'fail'} DET={det} "
        f"CONST={const} VERDICT={record.verdict_path}",
    ]
    if not verdict.phase_pass and not verdict.enforced:
        lines.append(f"{code}: the court failed and is not enforced (WF_PHASE_COURT_ENFORCE=0)")
    return lines


def _law_title(law: int) -> str:
    from pytest_wf.core.constitution import LAWS

    return LAWS[law].title if law in LAWS else "unknown"


def _is_the_authors(error: BaseException) -> bool:
    """Whether a traceback into the phase's body helps: its own assertion, or a bug."""
    from pytest_wf.errors import WfError

    return not isinstance(error, (WfError, KeyboardInterrupt))
