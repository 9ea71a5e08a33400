"""A flow's terminal output: its lines, for programs or for people, and live news."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.console.columns import BAD, BOLD, DIM, GOOD, Line, Part, text_of
from pytest_wf.console.live import LiveView, News
from pytest_wf.console.surviving_file import SurvivingFile
from pytest_wf.flow.rows.row_text import notes_of_several, own_notes_of
from pytest_wf.plugin.terminal.contract_lines import ContractLines
from pytest_wf.plugin.terminal.people_lines import PeopleLines
from pytest_wf.wire.redact import Redactor

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState
    from pytest_wf.wire.rows import RowStatus


#: The markup of pytest's terminal writer for each style.
_MARKUP: Mapping[str, dict[str, bool]] = {
    GOOD: {"green": True},
    BAD: {"red": True},
    BOLD: {"bold": True},
    DIM: {"light": True},
}


class TerminalView:
    """Writes through pytest's terminal reporter; while a phase runs, around its capture."""

    def __init__(self, config: pytest.Config, redactor: Redactor, quiet_s: float) -> None:
        self._config = config
        self._redactor = redactor
        # capture is suspended while plugins are configured, so stdout is the real one here
        self._live = LiveView(
            rewrites=False if _others_write(config) else None,
            colours=False if config.getoption("color", "auto") == "no" else None,
            quiet_s=quiet_s,
            mid_line=self._mid_line,
        )
        self._live.shown = redactor.shown
        wanted = config.getoption("wf_terminal")
        for_people = self._live.is_terminal if wanted == "auto" else wanted == "human"
        self._form = PeopleLines(self._width) if for_people else ContractLines()
        self._lines: dict[str, list[Line]] = {}
        self._has_ended = False
        #: The path of the page, or why there is none.
        self._page = ""
        #: Rows whose notes were printed.
        self._noted: set[str] = set()

    def open(self) -> None:
        """Keep file names out of the phases' lines, and survive a closed stdout."""
        terminal = self._reporter()
        if terminal is not None:
            terminal._tw._file = SurvivingFile(terminal._tw._file)
            terminal.showfspath = terminal.showfspath and terminal.verbosity != 0
            if not self._form.has_letters and terminal.verbosity <= 0:
                terminal._show_progress_info = False

    def close(self) -> None:
        """Close the copy of stdout."""
        self._live.close()

    @property
    def has_letters(self) -> bool:
        """Whether pytest's own outcome of a phase or row is shown; its summary always is."""
        terminal = self._reporter()
        is_quiet = terminal is not None and terminal.verbosity <= 0 and not self._has_ended
        return self._form.has_letters or not is_quiet

    def header(self, flow: FlowState) -> None:
        """Print the header."""
        self._write(self._form.header(flow))

    def say(self, text: str) -> None:
        """Print a line that stays, while a phase is running."""
        self._live.say(self._fit(text))

    def show(self, news: News) -> None:
        """Show news of the running phase, which replace earlier news."""
        fit = self._fit
        rows = tuple(map(fit, news.rows))
        self._live.show(replace(news, text=fit(news.text), rows=rows, log=fit(news.log)))

    def clear_live_view(self) -> None:
        """Clear the live view before pytest writes; restore a line that it interrupted."""
        terminal = self._reporter()
        if self._live.clear() and terminal is not None:
            terminal.currentfspath = None

    def phase_ended(
        self, item: pytest.Item, record: PhaseRecord, verdict: Verdict, flow: FlowState
    ) -> None:
        """Keep the phase's lines until the end of its report."""
        self._lines[item.nodeid] = self._form.phase(record, verdict, flow)

    def halted(self, item: pytest.Item, code: str, flow: FlowState) -> None:
        """Keep the lines of a phase that a halt skipped."""
        self._lines[item.nodeid] = self._form.halted(code, flow)

    def row_ended(self, item: pytest.Item, row: RowStatus) -> None:
        """Keep the row's notes until the end of its report; a failure's text has them already."""
        if row.notes and row.ok is not False and row.run_id not in self._noted:
            self._noted.add(row.run_id)
            notes = [f"row {row.run_id}: {note}" for note in own_notes_of(row)]
            self._lines[item.nodeid] = [[Part(note)] for note in notes]

    def phase_lines(self, record: PhaseRecord, verdict: Verdict, flow: FlowState) -> None:
        """Print a phase's lines at once."""
        self._write(self._form.phase(record, verdict, flow))

    def item_ended(self, nodeid: str) -> None:
        """Print the lines of a phase after pytest's own outcome of it."""
        self._write(self._lines.pop(nodeid, []))

    def page_drawn(self, message: str) -> None:
        """Keep the path of the page, or why there is none, for the flow's end."""
        self._page = message

    def summary(self, flow: FlowState, summary: Mapping[str, Any], terminal: Any) -> None:
        """Print the flow's end: rows, the halt, if any, the paths of the evidence and the page."""
        self._has_ended = True
        for note in notes_of_several(flow.watched.rows):
            self._write_line([Part(note)], terminal)
        for line in self._form.end(flow, summary, self._page):
            self._write_line(line, terminal)

    def _width(self) -> int | None:
        """The largest width of a line for people; None if it does not matter."""
        return self._live.size.columns if self._live.is_terminal else None

    def _fit(self, text: str) -> str:
        """`text` without secrets and control characters."""
        return self._redactor.shown(text)

    def _reporter(self) -> Any:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def _mid_line(self) -> str:
        terminal = self._reporter()
        return "" if terminal is None else str(terminal._tw._current_line)

    def _write(self, lines: Sequence[Line]) -> None:
        """Print lines, each from the first column."""
        if not lines:
            return
        self.clear_live_view()
        terminal = self._reporter()
        if terminal is None:
            self._live.lines([self._fit(text_of(line)) for line in lines])
            return
        terminal.ensure_newline()
        if terminal._tw.width_of_current_line:
            terminal.write_line(
                ""
            )  # with -q, the reporter does not know that the line is unfinished
        for line in lines:
            self._write_line(line, terminal)
        terminal.flush()  # so that a reader of a pipe gets it at once

    def _write_line(self, line: Line, terminal: Any) -> None:
        """Print one line with its styles; without them if its secrets span several parts."""
        whole = self._fit(text_of(line))
        masked = [part._replace(text=self._fit(part.text)) for part in line]
        parts = masked if text_of(masked) == whole else [Part(whole)]
        for part in parts:
            terminal.write(part.text, **_MARKUP.get(part.style, {}))
        terminal.write_line("")


def _others_write(config: pytest.Config) -> bool:
    """Whether a phase's own output goes to the terminal while it runs, so that it must not be
    overwritten."""
    if config.getoption("capture", "fd") in ("no", "tee-sys"):
        return True
    if not config.pluginmanager.hasplugin("logging"):
        return False
    return bool(config.getini("log_cli")) or config.getoption("log_cli_level", None) is not None
