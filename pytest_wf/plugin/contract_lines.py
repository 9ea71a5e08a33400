"""The flow on the terminal: the contract's lines, and news of what is running."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.console.live import LiveView, News
from pytest_wf.console.surviving_file import SurvivingFile
from pytest_wf.flow.header import header_lines
from pytest_wf.plugin.failure_text import from_here, one_paragraph
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.safe_text import readable_masked

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState

__all__ = ["TerminalView"]


class TerminalView:
    """Writes through pytest's terminal reporter; while a phase runs, past its capture."""

    def __init__(self, config: pytest.Config, redactor: Redactor, quiet_s: float) -> None:
        self._config = config
        self._redactor = redactor
        # capture is suspended while plugins are configured: now stdout is the real one
        self._live = LiveView(
            rewrites=False if _others_write(config) else None,
            colours=False if config.getoption("color", "auto") == "no" else None,
            quiet_s=quiet_s,
            mid_line=self._mid_line,
        )
        self._lines: dict[str, list[str]] = {}

    def open(self) -> None:
        """Keep the phases' lines free of file names, and the flow going where nobody reads on."""
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
        """A line for whoever watches, while a phase is running."""
        self._live.say(self._fit(text))

    def show(self, news: News) -> None:
        """News of the running phase, which the next news replace."""
        fit = self._fit
        rows = tuple(map(fit, news.rows))
        self._live.show(replace(news, text=fit(news.text), rows=rows, log=fit(news.log)))

    def hand_back(self) -> None:
        """Let pytest write again; a test's name that news have cut off is written anew."""
        terminal = self._reporter()
        if self._live.clear() and terminal is not None:
            terminal.currentfspath = None

    def phase_ended(self, item: pytest.Item, record: PhaseRecord, verdict: Verdict) -> None:
        """Keep the phase's contract lines for the end of its report."""
        self._lines[item.nodeid] = _phase_lines(record, verdict)

    def phase_lines(self, record: PhaseRecord, verdict: Verdict) -> None:
        """Print a phase's contract lines at once."""
        self._write(_phase_lines(record, verdict))

    def item_ended(self, nodeid: str) -> None:
        """Print the contract lines right behind pytest's own word on the phase."""
        self._write(self._lines.pop(nodeid, []))

    def summary(self, flow: FlowState, terminal: Any) -> None:
        """The last words: where the flow stands, and where its evidence lies."""
        folder = flow.store.dir
        if flow.halt is not None:
            text = f"WF-{flow.halt.code} {flow.halt}: {one_paragraph(flow.halt.text)}"
            terminal.write_line(self._fit(text))
        terminal.write_line(f"evidence: {from_here(str(folder))}")
        terminal.write_line(f"chain head: {flow.store.head}")
        if flow.store.summary_digest:
            terminal.write_line(f"summary digest: {flow.store.summary_digest}")

    def _fit(self, text: str) -> str:
        """`text` as a terminal may show it: without secrets, and steering nothing."""
        return readable_masked(text, self._redactor.text)

    def _reporter(self) -> Any:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def _mid_line(self) -> str:
        terminal = self._reporter()
        return "" if terminal is None else str(terminal._tw._current_line)

    def _write(self, lines: list[str]) -> None:
        """Contract lines, each from the first column on."""
        if not lines:
            return
        text = [self._fit(line) for line in lines]
        self.hand_back()
        terminal = self._reporter()
        if terminal is None:
            self._live.lines(text)
            return
        terminal.ensure_newline()
        if terminal._tw.width_of_current_line:
            terminal.write_line("")  # under -q the reporter forgets that it is in mid-line
        for line in text:
            terminal.write_line(line)
        terminal.flush()  # whoever watches a pipe wants to know now


def _others_write(config: pytest.Config) -> bool:
    """Whether what a phase prints or logs goes to the terminal while the phase runs: nothing
    there may be overwritten then."""
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
        f"ARTIFACT={from_here(record.evidence_path)}",
        f"PHASE={code} COURT={'pass' if verdict.phase_pass else 'fail'} DET={det} "
        f"CONST={const} VERDICT={from_here(record.verdict_path)}",
    ]
    if not verdict.phase_pass and not verdict.enforced:
        lines.append(f"{code}: the court failed and is not enforced (WF_PHASE_COURT_ENFORCE=0)")
    return lines
