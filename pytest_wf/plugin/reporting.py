"""What a flow shows: each view of it told of the same records, none with a secret.

All of it is drawn from records that are on disk already; nothing here decides anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import ReprFileLocation

from pytest_wf.evidence import chain
from pytest_wf.plugin.allure.view import AllureView
from pytest_wf.plugin.contract_lines import TerminalView
from pytest_wf.plugin.failure_text import Shown
from pytest_wf.plugin.junit import JUnitView
from pytest_wf.wire.files import BadJson, parse_json
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.safe_text import readable_masked

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState

__all__ = ["Reporting"]

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
        #: Masks the config's secrets in whatever is shown.
        self.redactor = redactor
        #: Set when the plan is whole and the flow begins.
        self.flow: FlowState | None = None
        self._has_begun = False
        #: The terminal.
        self.terminal = TerminalView(config, redactor, quiet_s)
        self._junit = JUnitView(config)
        self._allure = AllureView(config, own_allure_dir, redactor)

    # ---- the flow's news ----------------------------------------------------------------

    def flow_begins(self) -> None:
        """Forget earlier results, and print the header of the terminal contract."""
        assert self.flow is not None
        self._has_begun = True
        self._allure.clear_old_results()
        self.terminal.header(self.flow)

    def phase_ended(self, item: pytest.Item, record: PhaseRecord, verdict: Verdict) -> None:
        """Tell every view of a phase and its verdict."""
        self.terminal.hand_back()
        self.terminal.phase_ended(item, record, verdict)
        assert self.flow is not None
        self._junit.phase_ended(item, record, verdict, self.flow)
        self._allure.phase_ended(item, record, self.flow)

    def never_began(self, item: pytest.Item, record: PhaseRecord, verdict: Verdict) -> None:
        """Tell every view of a phase whose body was not reached."""
        assert self.flow is not None
        self.terminal.phase_lines(record, verdict)
        self._junit.phase_ended(item, record, verdict, self.flow)
        self._allure.phase_ended(item, record, self.flow)

    def halted(self, item: pytest.Item, code: str, run_id: str | None) -> None:
        """Tell every view of a phase or row that a halt leaves out."""
        assert self.flow is not None
        self._junit.halted(item, code, run_id)
        self._allure.halted(item, code, run_id, self.flow)

    def row_ended(self, item: pytest.Item, code: str, run_id: str) -> None:
        """Tell every view of a row as it was last seen."""
        assert self.flow is not None
        self.terminal.hand_back()
        row = self.flow.watched.row(run_id)
        self._junit.row_ended(item, code, row)
        self._allure.row_ended(item, row, self.flow)

    def page_drawn(self, page: Path | None, said: str) -> None:
        """Tell of the page that was drawn, or of why there is none."""
        self._allure.page_drawn(page, self.redactor.text(said))

    def write_no_reports(self) -> None:
        """A flow that was refused at collection leaves no report behind, and loses no old one."""
        self._junit.write_no_report()
        self._allure.write_no_report()

    # ---- hooks --------------------------------------------------------------------------

    def pytest_sessionstart(self) -> None:
        """Open the views, when all reporters are there."""
        self.terminal.open()
        self._allure.open()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """An item's report is out."""
        self.terminal.item_ended(nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count rows that were launched and not awaited by a name of their own."""
        if report.when != "call" or not report.skipped or not isinstance(report.longrepr, tuple):
            return None
        if not report.longrepr[2].startswith("Skipped: launched, not awaited"):
            return None
        return "launched", "l", "LAUNCHED"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Complete the reports, before their own reporters write them."""
        if self.flow is not None and self._has_begun:
            summary = _summary_of(self.flow)
            self._junit.complete(summary)
            self._allure.complete(summary, self.flow)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The last words on the terminal."""
        if self.flow is not None:
            self.terminal.summary(self.flow, terminalreporter)

    def pytest_unconfigure(self) -> None:
        """Close the views."""
        self._allure.close()
        self.terminal.close()

    # ---- secrets ------------------------------------------------------------------------

    def redact(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Mask secrets in a report before any reporter sees it: an assertion on os.environ
        prints the whole environment. What came from a pod must not steer a terminal either."""

        def mask(text: str) -> str:
            return readable_masked(text, self.redactor.text)

        shown = report.longrepr
        if isinstance(shown, tuple):
            path, line, reason = shown
            report.longrepr = (path, line, mask(reason))
        elif shown is not None and mask(str(shown)) != str(shown):
            crash = getattr(shown, "reprcrash", None)
            if crash is not None:
                crash = ReprFileLocation(crash.path, crash.lineno, mask(crash.message))
            report.longrepr = Shown(mask(str(shown)), crash)
        report.sections = [(name, mask(text)) for name, text in report.sections]
        if isinstance(report, pytest.TestReport):
            report.user_properties = [(name, mask(str(v))) for name, v in report.user_properties]

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Mask secrets that a module shows while it is imported."""
        report = yield
        self.redact(report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Mask secrets in a warning before it is kept for the summary."""
        shown = str(warning_message.message)
        if self.redactor.text(shown) != shown:
            warning_message.message = self.redactor.text(shown)


def _summary_of(flow: FlowState) -> dict[str, Any]:
    """The flow's summary as it was written; empty where it was not."""
    try:
        summary = parse_json((flow.store.dir / chain.SUMMARY).read_bytes(), _MAX_SUMMARY_BYTES)
    except (OSError, BadJson):
        return {}
    return summary if isinstance(summary, dict) else {}
