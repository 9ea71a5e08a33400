"""Passes the same records, without secrets, to each view of a flow: terminal, JUnit, Allure.

Views only show records that are already on disk; nothing here makes decisions.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import ReprFileLocation

from pytest_wf.config.ranking import rank
from pytest_wf.evidence import chain
from pytest_wf.plugin.allure.view import AllureView
from pytest_wf.plugin.failure_text import FailureText
from pytest_wf.plugin.junit import JUnitView
from pytest_wf.plugin.terminal.view import TerminalView
from pytest_wf.wire.files import BadJson, parse_json
from pytest_wf.wire.redact import Redactor

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState

_MAX_SUMMARY_BYTES = 64 * 1024 * 1024


class Reporting:
    """The views of one flow that pytest and its reporters show: terminal, JUnit, Allure."""

    def __init__(
        self,
        config: pytest.Config,
        own_allure_dir: Path | None,
        redactor: Redactor,
        quiet_s: float,
    ) -> None:
        #: Masks the config's secrets in everything that is shown.
        self.redactor = redactor
        #: Set when collection succeeded and the flow begins.
        self.flow: FlowState | None = None
        self._has_begun = False
        #: Why a report could not be written; '' if all were.
        self._unwritten = ""
        #: The folder of Allure's results; None if the user asked for another, or for none.
        self.own_allure_dir = own_allure_dir
        #: The terminal.
        self.terminal = TerminalView(config, redactor, quiet_s)
        self._junit = JUnitView(config, redactor)
        self._allure = AllureView(config, own_allure_dir, redactor)

    # ---- the flow's news ----------------------------------------------------------------

    def flow_begins(self) -> None:
        """Remove earlier results, and print the header of the terminal contract."""
        assert self.flow is not None
        self._has_begun = True
        self._allure.clear_old_results()
        self.terminal.header(self.flow)

    def phase_ended(
        self, item: pytest.Item, record: PhaseRecord, verdict: Verdict, flow: FlowState
    ) -> None:
        """Show a phase and its verdict in every view; `flow` is the part that ran it."""
        self.terminal.clear_live_view()
        self.terminal.phase_ended(item, record, verdict, flow)
        self._junit.phase_ended(item, record, verdict, flow)
        self._allure.phase_ended(item, record, flow)

    def body_not_reached(
        self, item: pytest.Item, record: PhaseRecord, verdict: Verdict, flow: FlowState
    ) -> None:
        """Show a phase whose body was not reached in every view."""
        self.terminal.phase_lines(record, verdict, flow)
        self._junit.phase_ended(item, record, verdict, flow)
        self._allure.phase_ended(item, record, flow)

    def halted(self, item: pytest.Item, code: str, run_id: str | None, flow: FlowState) -> None:
        """Show a phase or row that a halt skipped in every view."""
        if run_id is None:
            self.terminal.halted(item, code, flow)
        self._junit.halted(item, code, run_id)
        self._allure.halted(item, code, run_id, flow)

    def row_ended(self, item: pytest.Item, code: str, run_id: str) -> None:
        """Show the latest status of a row in every view."""
        assert self.flow is not None
        self.terminal.clear_live_view()
        row = self.flow.watched.row(run_id)
        self.terminal.row_ended(item, row)
        self._junit.row_ended(item, code, row, self.flow.watched.owner_of(run_id))
        self._allure.row_ended(item, row, self.flow)

    def page_drawn(self, page: Path | None, message: str) -> None:
        """Pass the HTML page, or the message why there is none, to the views."""
        self._allure.page_drawn(page, self.redactor.shown(message))
        self.terminal.page_drawn(message)

    @property
    def trouble(self) -> str:
        """Why parts of the reports are missing; '' if none are."""
        return self._unwritten or self._allure.trouble

    def write_no_reports(self) -> None:
        """Keep the old reports: the flow was refused at collection."""
        self._junit.write_no_report()
        self._allure.write_no_report()

    # ---- hooks --------------------------------------------------------------------------

    def pytest_sessionstart(self) -> None:
        """Open the views, once all reporters are registered."""
        self.terminal.open()
        self._allure.open()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Print an item's contract lines after its report."""
        self.terminal.item_ended(nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count rows that were launched and not awaited under a name of their own.

        If the flow prints lines of its own for its phases, pytest's letters for them are hidden.
        """
        if _is_not_awaited(report):
            return ("launched", "l", "LAUNCHED") if self.terminal.has_letters else _no("launched")
        if self.terminal.has_letters or "phase" not in report.keywords:
            return None
        if hasattr(report, "wasxfail") or (report.failed and report.when != "call"):
            return None
        return _no(report.outcome) if report.when == "call" or report.skipped else None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """Complete the reports before their own reporters write them; inside the terminal's."""
        try:
            self._complete()
        except OSError as e:
            self._unwritten = str(e)
        try:
            with self._junit.written_whole():
                yield
        except OSError as e:
            self._unwritten = str(e)

    def _complete(self) -> None:
        if self.flow is not None and self._has_begun:
            summary = _summary_of(self.flow)
            rows = self.flow.watched.rows
            ranking = rank(rows, self.flow.config.wf_rank_by)
            self._junit.complete(summary, rows, ranking)
            self._allure.complete(summary, self.flow, ranking)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the flow's end on the terminal."""
        if self.flow is not None:
            self.terminal.summary(self.flow, _summary_of(self.flow), terminalreporter)

    def pytest_unconfigure(self) -> None:
        """Close the views."""
        self._allure.close()
        self.terminal.close()

    # ---- secrets ------------------------------------------------------------------------

    def redact(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Mask secrets and control characters in a report before any reporter sees it.

        A failed assertion on os.environ shows the complete environment.
        """
        mask = self.redactor.shown
        longrepr = report.longrepr
        if isinstance(longrepr, tuple):
            path, line, reason = longrepr
            report.longrepr = (path, line, mask(reason))
        elif longrepr is not None and mask(str(longrepr)) != str(longrepr):
            crash = getattr(longrepr, "reprcrash", None)
            if crash is not None:
                crash = ReprFileLocation(crash.path, crash.lineno, mask(crash.message))
            report.longrepr = FailureText(mask(str(longrepr)), crash)
        report.sections = [(mask(name), mask(text)) for name, text in report.sections]
        if isinstance(report, pytest.TestReport):
            report.user_properties = [(mask(k), mask(str(v))) for k, v in report.user_properties]

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Mask secrets that a module prints while it is imported."""
        report = yield
        self.redact(report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Mask secrets in a warning before it is kept for the summary."""
        shown = str(warning_message.message)
        if self.redactor.shown(shown) != shown:
            warning_message.message = self.redactor.shown(shown)


def _is_not_awaited(report: pytest.TestReport) -> bool:
    """Whether it is the report of a row that was launched and not awaited."""
    if report.when != "call" or not report.skipped or not isinstance(report.longrepr, tuple):
        return False
    return report.longrepr[2].startswith("Skipped: launched, not awaited")


def _no(category: str) -> tuple[str, str, str]:
    """The status of a report that is counted and not shown."""
    return category, "", ""


def _summary_of(flow: FlowState) -> dict[str, Any]:
    """The flow's summary as written; empty if it was not."""
    try:
        summary = parse_json((flow.store.dir / chain.SUMMARY).read_bytes(), _MAX_SUMMARY_BYTES)
    except (OSError, BadJson):
        return {}
    return summary if isinstance(summary, dict) else {}
