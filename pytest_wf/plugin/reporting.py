"""What a flow shows: the terminal contract, JUnit properties, Allure attachments, failures.

All of it is drawn from records that are on disk already; nothing here decides anything.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest import junitxml
from _pytest._code.code import ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter

from pytest_wf.errors import CourtFailed
from pytest_wf.flow.header import header_lines
from pytest_wf.flow.lasting import LastingFile
from pytest_wf.flow.live import LiveView
from pytest_wf.plugin.terminal import STARTED_ON_A_TERMINAL
from pytest_wf.wire.failures import KINDS
from pytest_wf.wire.redact import Redactor

if TYPE_CHECKING:
    from pytest_wf.core.records import Verdict
    from pytest_wf.flow.lifecycle import Flow
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.plugin.allure_mask import AllureMask

__all__ = ["Reporting"]


class Reporting:
    """The views of one flow that pytest and its reporters show."""

    def __init__(
        self, config: pytest.Config, own_allure_dir: Path | None, redactor: Redactor
    ) -> None:
        self._config = config
        #: Masks the config's secrets in whatever is shown.
        self.redactor = redactor
        #: Where Allure results go, unless the user asked for another place.
        self._own_allure_dir = own_allure_dir
        #: Set when the plan is whole and the flow begins.
        self.flow: Flow | None = None
        #: Whether somebody sits at a terminal.
        self.interactive = STARTED_ON_A_TERMINAL
        # capture is suspended while plugins are configured: now stdout is the real one
        self._live = LiveView(is_mid_line=self._is_mid_line)
        self._lines: dict[str, list[str]] = {}
        self._mask: AllureMask | None = None

    # ---- terminal -----------------------------------------------------------------------

    def header(self) -> None:
        """Print the header of the terminal contract."""
        assert self.flow is not None
        flow = self.flow
        self._write(header_lines(flow.project, mode="flow", flow_id=flow.flow_id))

    def say(self, text: str) -> None:
        """A line for whoever watches, while a phase is running."""
        self._live.say(self.redactor.text(text))

    def show(self, text: str, kind: object) -> None:
        """News of the running phase, which the next news replace."""
        self._live.show(self.redactor.text(text), kind)

    def phase_ended(self, item: pytest.Item, record: PhaseRecord, verdict: Verdict) -> None:
        """Keep the phase's contract lines for its report, and hand its facts to JUnit and
        Allure."""
        self._hand_back()
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

    def row_ended(self, item: pytest.Item, code: str, run_id: str) -> None:
        """Hand a row's facts to JUnit and Allure."""
        assert self.flow is not None
        self._hand_back()
        row: dict[str, Any] = next(
            (r for r in self.flow.last_rows() if r["run_id"] == run_id), {"run_id": run_id}
        )
        state = row.get("state", "unknown")
        facts = {
            "wf.phase": code,
            "wf.run_id": run_id,
            "wf.row_state": state,
            "wf.code": _row_code(state),
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
            text = json.dumps(row, indent=1, sort_keys=True, default=str)
            allure.attach(text, "row", allure.attachment_type.JSON)

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
            text = f"WF-{flow.halt.code} {flow.halt}: {_one_paragraph(flow.halt.text)}"
            terminalreporter.write_line(self.redactor.text(text))
        terminalreporter.write_line(f"evidence: {_from_here(str(folder))}")
        terminalreporter.write_line(f"chain head: {flow.store.head}")

    def pytest_sessionstart(self) -> None:
        """Keep secrets out of what Allure writes, the phases' lines free of file names, and the
        flow going where nobody reads on."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal._tw._file = LastingFile(terminal._tw._file)
            terminal.showfspath = terminal.showfspath and terminal.verbosity != 0
        folder = getattr(self._config.option, "allure_report_dir", None)
        if self.redactor and folder and self._allure() is not None:
            from pytest_wf.plugin.allure_mask import AllureMask

            self._mask = AllureMask(Path(os.path.abspath(folder)), self.redactor)

    def pytest_unconfigure(self) -> None:
        """Close the copy of stdout, and let go of Allure."""
        if self._mask is not None:
            self._mask.close()
        self._live.close()

    def _hand_back(self) -> None:
        """Let pytest write again; a test's name that news have cut off is written anew."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._live.clear() and terminal is not None:
            terminal.currentfspath = None

    def _is_mid_line(self) -> bool:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        return terminal is not None and terminal._tw.width_of_current_line > 0

    def _write(self, lines: list[str]) -> None:
        """Contract lines, each from the first column on."""
        if not lines:
            return
        text = [self.redactor.text(line) for line in lines]
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            self._live.lines(text)
            return
        terminal.ensure_newline()
        if terminal._tw.width_of_current_line:
            terminal.write_line("")  # under -q the reporter forgets that it is in mid-line
        for line in text:
            terminal.write_line(line)
        terminal.flush()  # whoever watches a pipe wants to know now

    # ---- failures -----------------------------------------------------------------------

    def court_text(self, record: PhaseRecord, verdict: Verdict) -> str:
        """What a failed court says: why, which laws, where the evidence is, what to do next."""
        lines = [f"{record.contract.code} {record.contract.name}: code {verdict.code}"]
        failure = record.failure.text if record.failure is not None else ""
        if failure:
            lines.append(_one_paragraph(failure))
        lines.append(
            f"court: deterministic {verdict.deterministic}, constitutional {verdict.constitutional}"
        )
        if verdict.halt_reason and verdict.halt_reason != failure:
            lines.append(f"why: {_one_paragraph(verdict.halt_reason)}")
        lines.extend(f"law {law}: {_law_title(law)}" for law in verdict.violated_laws)
        lines.append(f"evidence: {record.evidence_path or 'not written'}")
        if verdict.suggested_next_command:
            lines.append(f"next: {verdict.suggested_next_command}")
        return "\n".join(lines)

    def shown(self, item: pytest.Item, error: CourtFailed) -> Shown:
        """The court's text, behind the traceback of what the phase's own body raised."""
        cause, text = error.__cause__, str(error)
        if cause is not None and _is_the_authors(cause):
            traceback = item.repr_failure(pytest.ExceptionInfo.from_exception(cause))
            text = f"{traceback}\n\n{text}"
        path, line, _ = item.location
        in_short = ": ".join(part.strip() for part in str(error).splitlines()[:2])
        return Shown(text, ReprFileLocation(path, (line or 0) + 1, in_short))

    def redact(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Mask secrets in a report before any reporter sees it: an assertion on os.environ
        prints the whole environment."""
        mask = self.redactor.text
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


@dataclass(eq=False)
class Shown(TerminalRepr):
    """What a report shows of a failure: the text, and its place and gist for summaries."""

    text: str
    reprcrash: ReprFileLocation | None

    def toterminal(self, tw: TerminalWriter) -> None:
        """As pytest asks for it."""
        tw.line(self.text)


def _phase_lines(record: PhaseRecord, verdict: Verdict) -> list[str]:
    code = record.contract.code
    failure_code = record.failure.code if record.failure is not None else 0
    det, const = verdict.deterministic, verdict.constitutional
    lines = [
        f"PHASE={code} STATUS={record.status} CODE={failure_code or verdict.code} "
        f"ARTIFACT={_from_here(record.evidence_path)}",
        f"PHASE={code} COURT={'pass' if verdict.phase_pass else 'fail'} DET={det} "
        f"CONST={const} VERDICT={_from_here(record.verdict_path)}",
    ]
    if not verdict.phase_pass and not verdict.enforced:
        lines.append(f"{code}: the court failed and is not enforced (WF_PHASE_COURT_ENFORCE=0)")
    return lines


def _row_code(state: str) -> int | None:
    if state in ("failed", "timed_out", "stopped"):
        return KINDS["row-failed"]
    return 0 if state == "success" else None


def _one_paragraph(text: str) -> str:
    """`text` with later lines set in: what begins in the first column is said by us."""
    return "\n  ".join(text.splitlines())


def _from_here(path: str) -> str:
    """`path` as seen from the working directory, where it lies below that."""
    shown = os.path.relpath(path) if path else ""
    return path if shown.startswith("..") else shown


def _law_title(law: int) -> str:
    from pytest_wf.core.constitution import LAWS

    return LAWS[law].title if law in LAWS else "unknown"


def _is_the_authors(error: BaseException) -> bool:
    """Whether a traceback into the phase's body helps: its own assertion, or a bug."""
    from pytest_wf.errors import WfError

    return not isinstance(error, (WfError, KeyboardInterrupt))
