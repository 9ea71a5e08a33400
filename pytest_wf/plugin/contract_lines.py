"""The flow on the terminal: the contract's lines, and news of what is running."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.console.live import LiveView, News
from pytest_wf.console.surviving_file import SurvivingFile
from pytest_wf.flow.header import header_lines
from pytest_wf.flow.row_text import counts_line, notes_of
from pytest_wf.plugin.failure_text import indented, relative_path
from pytest_wf.wire.redact import Redactor

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState
    from pytest_wf.wire.rows import RowStatus


class TerminalView:
    """Writes through pytest's terminal reporter; while a phase runs, past its capture."""

    def __init__(self, config: pytest.Config, redactor: Redactor, quiet_s: float) -> None:
        self._config = config
        self._redactor = redactor
        # capture is suspended while plugins are configured, so stdout is the real one now
        self._live = LiveView(
            rewrites=False if _others_write(config) else None,
            colours=False if config.getoption("color", "auto") == "no" else None,
            quiet_s=quiet_s,
            mid_line=self._mid_line,
        )
        self._live.shown = redactor.shown
        self._lines: dict[str, list[str]] = {}
        #: Rows whose notes were printed.
        self._noted: set[str] = set()

    def open(self) -> None:
        """Keep file names out of the phases' lines, and survive a closed stdout."""
        terminal = self._reporter()
        if terminal is not None:
            terminal._tw._file = SurvivingFile(terminal._tw._file)
            terminal.showfspath = terminal.showfspath and terminal.verbosity != 0

    def close(self) -> None:
        """Close the copy of stdout."""
        self._live.close()

    def header(self, flow: FlowState) -> None:
        """Print the header of the terminal contract."""
        self._write(header_lines(flow.project, mode="flow", flow_id=flow.flow_id))

    def say(self, text: str) -> None:
        """Print a line that stays, while a phase is running."""
        self._live.say(self._fit(text))

    def show(self, news: News) -> None:
        """Show news of the running phase, which the next news replace."""
        fit = self._fit
        rows = tuple(map(fit, news.rows))
        self._live.show(replace(news, text=fit(news.text), rows=rows, log=fit(news.log)))

    def clear_live_view(self) -> None:
        """Clear the live view before pytest writes; a line that it interrupted is written again."""
        terminal = self._reporter()
        if self._live.clear() and terminal is not None:
            terminal.currentfspath = None

    def phase_ended(self, item: pytest.Item, record: PhaseRecord, verdict: Verdict) -> None:
        """Keep the phase's contract lines for the end of its report."""
        self._lines[item.nodeid] = _phase_lines(record, verdict)

    def row_ended(self, item: pytest.Item, row: RowStatus) -> None:
        """Keep the row's notes for the end of its report; a failure's text has them already."""
        if row.notes and row.ok is not False and row.run_id not in self._noted:
            self._noted.add(row.run_id)
            self._lines[item.nodeid] = [f"row {row.run_id}: {note}" for note in notes_of(row)]

    def phase_lines(self, record: PhaseRecord, verdict: Verdict) -> None:
        """Print a phase's contract lines at once."""
        self._write(_phase_lines(record, verdict))

    def item_ended(self, nodeid: str) -> None:
        """Print the contract lines after pytest's own outcome of the phase."""
        self._write(self._lines.pop(nodeid, []))

    def summary(self, flow: FlowState, terminal: Any) -> None:
        """Print the rows' figures, the halt, if any, and where the evidence is."""
        folder = flow.store.dir
        if flow.watched.rows:
            terminal.write_line(f"rows: {counts_line(flow.watched.rows)}")
        if flow.halt is not None:
            text = f"WF-{flow.halt.code} {flow.halt}: {indented(flow.halt.text)}"
            terminal.write_line(self._fit(text))
        terminal.write_line(f"evidence: {relative_path(str(folder))}")
        terminal.write_line(f"chain head: {flow.store.head}")
        if flow.store.summary_digest:
            terminal.write_line(f"summary digest: {flow.store.summary_digest}")

    def _fit(self, text: str) -> str:
        """`text` without secrets and without control characters."""
        return self._redactor.shown(text)

    def _reporter(self) -> Any:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def _mid_line(self) -> str:
        terminal = self._reporter()
        return "" if terminal is None else str(terminal._tw._current_line)

    def _write(self, lines: list[str]) -> None:
        """Print contract lines, each from the first column on."""
        if not lines:
            return
        text = [self._fit(line) for line in lines]
        self.clear_live_view()
        terminal = self._reporter()
        if terminal is None:
            self._live.lines(text)
            return
        terminal.ensure_newline()
        if terminal._tw.width_of_current_line:
            terminal.write_line("")  # under -q the reporter does not know that it is in mid-line
        for line in text:
            terminal.write_line(line)
        terminal.flush()  # a reader of a pipe sees it at once


def _others_write(config: pytest.Config) -> bool:
    """Whether a phase's own output goes to the terminal while it runs; it must not be
    overwritten then."""
    if config.getoption("capture", "fd") in ("no", "tee-sys"):
        return True
    if not config.pluginmanager.hasplugin("logging"):
        return False
    return bool(config.getini("log_cli")) or config.getoption("log_cli_level", None) is not None


def _phase_lines(record: PhaseRecord, verdict: Verdict) -> list[str]:
    code = record.contract.code
    failure_code = record.failure.code if record.failure is not None else 0
    det, const = verdict.deterministic, verdict.constitutional
    lines = [
        f"PHASE={code} STATUS={record.status} CODE={failure_code or verdict.code} "
        f"ARTIFACT={relative_path(record.evidence_path)}",
        f"PHASE={code} COURT={'pass' if verdict.phase_pass else 'fail'} DET={det} "
        f"CONST={const} VERDICT={relative_path(record.verdict_path)}",
    ]
    if not verdict.phase_pass and not verdict.enforced:
        lines.append(f"{code}: the court failed and is not enforced (WF_PHASE_COURT_ENFORCE=0)")
    return lines
