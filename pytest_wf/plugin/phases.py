"""Runs a flow in pytest's run loop: gate, court, halt, always-phases."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from _pytest.outcomes import Exit, Failed, Skipped

from pytest_wf.court.contract import Contract
from pytest_wf.court.named_commands import with_whole_commands
from pytest_wf.court.next_command import flow_command, next_command
from pytest_wf.errors import CourtFailed, NotAwaited, OperationFailed, TransportError
from pytest_wf.evidence.records import Verdict
from pytest_wf.flow.extensions import Extensions
from pytest_wf.flow.fleet.fleet import Fleet
from pytest_wf.flow.flow import Flow
from pytest_wf.flow.phase import Failure, PhaseRecord, failure_of, interruption
from pytest_wf.flow.run_view import RunView
from pytest_wf.flow.summary import has_failed_row
from pytest_wf.plugin.failure_text import court_text, failure_text, row_failure_text
from pytest_wf.plugin.phase_item import PHASE, PhaseItem
from pytest_wf.plugin.reporting import Reporting
from pytest_wf.project.project import Project
from pytest_wf.wire.failures import code_of

_RAN = pytest.StashKey[bool]()


class Phases:
    """Runs a flow's items. The loop is never stopped: a halt skips the items after it."""

    def __init__(
        self,
        config: pytest.Config,
        project: Project,
        contracts: Mapping[str, Contract],
        per_member: Collection[str],
        reporting: Reporting,
        *,
        interactive: bool,
    ) -> None:
        self._config = config
        self._reporting = reporting
        self._failed = False
        self._failed_rows: set[str] = set()
        self._finished = False
        config.pluginmanager.register(_FailedCourtStaysFailed(), "wf-court-outcome")
        self.fleet = Fleet(
            project,
            contracts,
            per_member,
            environ=os.environ,
            interactive=interactive,
            console=reporting.terminal,
            extensions=Extensions(config.hook),
        )
        #: The part of phases that run once; with one pod, the complete flow.
        self.flow = self.fleet.flow
        reporting.flow = self.flow.state

    # ---- the loop -----------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Start the flow; P90 and P99 run however the loop ends."""
        try:
            self.flow.start()
            self._reporting.flow_begins()
        except (OSError, OperationFailed) as e:
            raise pytest.UsageError(f"The flow's evidence cannot be written: {e}") from None
        with _signals_as_interrupts():
            try:
                result = yield
            except BaseException as e:
                self._run_the_rest(session, e)
                raise
            finally:
                self._finish()
        halt = self.flow.state.halt
        if halt is not None and halt.kind == "interrupt":
            raise session.Interrupted(str(halt))
        return result

    def _run_the_rest(self, session: pytest.Session, error: BaseException) -> None:
        """Report every item that has not run, and run the always-phases among them."""
        kind = "interrupted" if isinstance(error, (KeyboardInterrupt, Exit)) else "error"
        rest = [item for item in session.items if self._has_yet_to_run(item)]
        last = self.flow.state.contracts["P99"]
        where = rest[0].stash[PHASE].contract if rest else last
        self.fleet.halt(where, kind, interruption(error))
        try:
            session._setupstate.teardown_exact(None)
        except BaseException as e:
            self._reporting.terminal.say(f"fixture teardown of the interrupted phase failed: {e!r}")
        for index, item in enumerate(rest):
            follower = rest[index + 1] if index + 1 < len(rest) else None
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=follower)
            except BaseException as e:
                # an exception in one phase must not keep the others from running
                self._reporting.terminal.say(f"{item.nodeid}: {e!r}")

    def _has_yet_to_run(self, item: pytest.Item) -> bool:
        """Whether an item has not run; an always-phase has run once it has a verdict."""
        phase = item.stash[PHASE]
        if phase.run_id is None and phase.contract.always:
            return not self._is_judged(phase.contract.code, phase.member)
        if self.fleet.is_open(phase.contract.code, phase.member):
            return True
        return _RAN not in item.stash

    def _is_judged(self, code: str, member: str = "") -> bool:
        record = self.fleet.of(member).state.phases.get(code)
        return record is not None and record.verdict is not None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a session if the verdict of a phase is missing."""
        all_judged = all(
            self._is_judged(code, flow.state.member)
            for flow in self.fleet.flows
            for code in flow.state.contracts
        )
        if session.exitstatus == pytest.ExitCode.OK and (self._failed or not all_judged):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self.fleet.close()

    # ---- one item -----------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip items after a halt, before any of their fixtures is set up."""
        item.stash[_RAN] = True
        phase = item.stash[PHASE]
        flow = self.fleet.of(phase.member)
        if self.fleet.is_open(phase.contract.code, phase.member):
            return  # it began with another member's phase, and must be judged
        if flow.skips(phase.contract):
            self._reporting.halted(item, phase.contract.code, phase.run_id, flow.state)
            raise Skipped(str(flow.state.halt), _use_item_location=True)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Hold the court: innermost wrapper, within capture and time limit."""
        phase = item.stash[PHASE]
        with self.fleet.of(phase.member).patience(phase.contract.code):
            if phase.run_id is not None:
                return (yield from self._row(item, phase))
            return (yield from self._phase(item, phase))

    def _phase(self, item: pytest.Item, phase: PhaseItem) -> Generator[None, object, object]:
        flow, contract = self.fleet.of(phase.member), phase.contract
        record = flow.begin(contract.code)
        failure, cause, result = None, None, None
        try:
            flow.observe_pod()
            result = yield
        except BaseException as e:
            cause = e
            failure = self._failure(e, contract)
        late = None
        try:
            flow.observe_pod_after(failure)
        except BaseException as e:
            late = self._failure(e, contract)
            failure, cause = failure or late, cause or e
        with _deferred_signals() as interrupted:
            verdict = self._judge(flow, record, failure)
        self._reporting.phase_ended(item, record, verdict, flow.state)
        if interrupted or any(f is not None and f.kind == "interrupted" for f in (failure, late)):
            self.fleet.halt(contract, "interrupted", _interrupted_by(interrupted))
        self.fleet.demand_enough()
        lost = not verdict.phase_pass and (verdict.enforced or failure is not None)
        self._failed = self._failed or lost
        if contract.code == "P99" and not self._finish():
            raise CourtFailed("P99 SUMMARY: the flow's summary could not be written") from cause
        if lost:
            raise CourtFailed(court_text(record, verdict)) from cause
        return result

    def _judge(self, flow: Flow, record: PhaseRecord, failure: Failure | None) -> Verdict:
        """Hold the court; if it raises, the phase has not passed."""
        try:
            return flow.end(failure)
        except Exception as e:
            contract = record.contract
            code = code_of("court-unverified", contract.family)
            text = f"the court could not be held: {type(e).__name__}: {e}"
            verdict = Verdict(
                flow_id=self.flow.state.flow_id,
                phase_id=contract.code,
                phase_pass=False,
                deterministic="fail",
                constitutional="unverified",
                enforced=True,
                halt_reason=text,
                violated_laws=[9],
                suggested_next_command=next_command(
                    contract.code, "court-unverified", self.flow.state.options
                ),
                code=code,
                evidence_sha256="",
                deterministic_sha256="",
                constitutional_sha256="",
                decided_at="1970-01-01T00:00:00Z",
            )
            record.verdict, record.failure = verdict, failure
            flow.halt(contract, "court-unverified", text)
            return verdict

    def _row(self, item: pytest.Item, phase: PhaseItem) -> Generator[None, object, object]:
        """Run a test of a row, which has no court: its training and metrics decide.

        The test of a failed row fails, whatever it asserts: its author may have checked
        the training only.
        """
        assert phase.run_id is not None
        try:
            result = yield
            if phase.contract.code == "P70":
                self._require_no_failure(phase.run_id)
            return result
        except NotAwaited as e:
            raise Skipped(self._whole(e.message)) from None
        except (KeyboardInterrupt, Exit) as e:
            self.fleet.halt(phase.contract, "interrupted", interruption(e))
            self._failed = True
            again = flow_command(self.flow.state.options, sweep="resume", wait="true")
            raise Failed(
                f"interrupted while following row {phase.run_id}; the sweep continues on the pod. "
                f"Attach again with `{again}`.",
                pytrace=False,
            ) from None
        except BaseException as e:
            self._failed = True
            self._failed_rows.add(phase.run_id)
            self.flow.row_failed(phase.contract.code)
            if isinstance(e, TransportError):
                raise Failed(self._whole(str(e)), pytrace=False) from None
            raise
        finally:
            self._reporting.row_ended(item, phase.contract.code, phase.run_id)

    def _require_no_failure(self, run_id: str) -> None:
        row = self.flow.state.watched.row(run_id)
        if row.ok is False and run_id not in self._failed_rows:
            raise Failed(RunView(self.flow.state, run_id).why(), pytrace=False)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show a court's verdict as text; mask secrets before any reporter sees the report.

        Innermost wrapper, so that Allure's gets the masked report.
        """
        report = yield
        phase = item.stash[PHASE]
        if report.when == "setup" and not report.passed and phase.run_id is None:
            flow = self.fleet.of(phase.member)
            if flow.state.halt is None or not (phase.contract.always or flow.skips(phase.contract)):
                self._body_not_reached(item, phase, call)
                report.outcome = "failed"
        elif report.when == "call" and report.failed and phase.run_id is None:
            if not self._is_judged(phase.contract.code, phase.member):
                self._body_not_reached(item, phase, call)
        elif report.when == "teardown" and report.failed:
            self.fleet.halt(phase.contract, "error", "fixture teardown failed", phase.member)
        self._failed = self._failed or report.failed
        if call.excinfo is not None and isinstance(call.excinfo.value, CourtFailed):
            report.longrepr = failure_text(item, call.excinfo.value)
        elif call.excinfo is not None and phase.run_id is not None:
            found = row_failure_text(item, call.excinfo.value, self._whole)
            report.longrepr = found or report.longrepr
        self._reporting.redact(report)
        return report

    def _body_not_reached(
        self, item: pytest.Item, phase: PhaseItem, call: pytest.CallInfo[None]
    ) -> None:
        """Judge a phase whose fixtures failed, or that ended before its court."""
        flow, contract = self.fleet.of(phase.member), phase.contract
        error: BaseException = call.excinfo.value if call.excinfo else RuntimeError("set-up failed")
        record = flow.begin(contract.code)
        failure = self._failure(error, contract)
        verdict = self._judge(flow, record, failure)
        self.fleet.demand_enough()
        self._reporting.body_not_reached(item, record, verdict, flow.state)

    def _failure(self, error: BaseException, contract: Contract) -> Failure:
        """`error` as a failure of the phase, with the commands in its text whole."""
        failure = failure_of(error, contract.family, kind=_kind_of(error))
        return replace(failure, text=self._whole(failure.text))

    def _whole(self, text: str) -> str:
        """`text` with the commands in it as they are run after this flow."""
        return with_whole_commands(text, self.flow.state.options)

    # ---- the end ------------------------------------------------------------------------

    def _finish(self) -> bool:
        """Write the summary, once. Returns whether it was written."""
        if self._finished:
            return True
        self._finished = True
        self._failed = self._failed or has_failed_row(self.flow.state)
        halt = self.flow.state.halt
        exit_code = 2 if halt is not None and halt.kind == "interrupt" else int(self._failed)
        with _deferred_signals():
            try:
                self.fleet.finish(exit_code)
            except Exception as e:
                self._failed = True
                self._reporting.terminal.say(f"the summary could not be written: {e}")
                return False
        return True


class _FailedCourtStaysFailed:
    """Outermost report wrapper: a failed court is FAILED, even if a mark or another
    plugin changed the report."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, CourtFailed):
            report.outcome = "failed"
            report.__dict__.pop("wasxfail", None)
        return report


def _interrupted_by(signals: Sequence[int]) -> str:
    names = [signal.Signals(number).name for number in signals]
    return f"interrupted by {' and '.join(names)}" if names else "interrupted"


def _kind_of(error: BaseException) -> str:
    """The failure kind of one of pytest's own exceptions; '' for any other."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, Skipped):
        return "skipped-itself"
    if isinstance(error, Failed):
        return "timeout" if str(error).startswith("Timeout ") else "assertion"
    if isinstance(error, Exit):
        return "interrupted"
    return ""


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end a flow like Ctrl-C: P90 and P99 still run."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    with _handling((signal.SIGTERM, signal.SIGHUP), interrupt):
        yield


@contextmanager
def _deferred_signals() -> Iterator[list[int]]:
    """Collect signals in the list instead of handling them.

    A time limit that expires in the block is dropped: the phase's body has ended, and the
    auditor has a limit of its own.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    with _handling(numbers, note):
        yield received


@contextmanager
def _handling(numbers: Sequence[int], handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers; other threads never get signals
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
