"""One flow: its phases in order, each opened, filled by operations, and judged.

`Flow` does not depend on pytest. The plugin opens and closes phases, and a phase's body calls
the public operations. The phase's record contains everything that happened, and the court
reads only that record.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_wf.config.keys import Config
from pytest_wf.console.installation import installation_line
from pytest_wf.console.live import News
from pytest_wf.console.transfer_meter import as_news
from pytest_wf.court.auditor_process import Auditors, auditors_of
from pytest_wf.court.checklist import Checklist
from pytest_wf.court.contract import Contract
from pytest_wf.court.courtroom import Courtroom
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.errors import OperationFailed
from pytest_wf.evidence import chain
from pytest_wf.evidence.records import Check, Evidence, FlowStart, FlowSummary, Verdict
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.flow.binding import Binding
from pytest_wf.flow.extensions import Extensions
from pytest_wf.flow.finalize import close_folder, close_views, late_key, leave_pod, sign_start
from pytest_wf.flow.logged_provider import logged
from pytest_wf.flow.money.spending import Estimates, budget_of
from pytest_wf.flow.notices import Notices
from pytest_wf.flow.operations import (
    bootstrap,
    checkout,
    fetch,
    precheck,
    ready,
    sweep,
    teardown,
)
from pytest_wf.flow.operations.sweep import Sweep
from pytest_wf.flow.phase import Failure, Halt, PhaseRecord
from pytest_wf.flow.results import Result
from pytest_wf.flow.rows.monitor import Monitor, SweepView
from pytest_wf.flow.rows.row_news import RowNews
from pytest_wf.flow.rows.row_text import MAX_EVENTS, events_of, notes_of
from pytest_wf.flow.secrets import redactor_of, secrets_of, signing_key_of
from pytest_wf.flow.session import silence_of
from pytest_wf.flow.snapshot import evidence_of, start_of, world_of
from pytest_wf.flow.state import FlowState
from pytest_wf.flow.summary import end_of, pod_cost, summarise
from pytest_wf.notify.sender import Notifier, urls_of
from pytest_wf.pods.base import Provider
from pytest_wf.pods.patience import Patience
from pytest_wf.project.project import Project
from pytest_wf.wire import ids
from pytest_wf.wire.failures import code_of
from pytest_wf.wire.files import sha256_file
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import CampaignStatus

if TYPE_CHECKING:
    from pytest_wf.evidence.signing import SigningKey
    from pytest_wf.evidence.views import Kind


class Console(Protocol):
    """Where a flow prints while a phase runs."""

    def say(self, text: str) -> None:
        """Print a line that stays."""

    def show(self, news: News) -> None:
        """Show news of the running phase, which replace earlier news."""


class Flow:
    """The operations of one flow: they change its `state`, its pod and its evidence.

    `begin` and `end` enclose each phase. In between, the phase's body calls operations
    (`bootstrap`, `checkout`, …), each of which returns a `Result` and adds its facts to the
    phase's record. `interactive` says whether consent can be asked for on a terminal.
    """

    def __init__(
        self,
        project: Project,
        contracts: Mapping[str, Contract],
        *,
        environ: Mapping[str, str],
        interactive: bool,
        console: Console,
        extensions: Extensions,
    ) -> None:
        self._environ = environ
        self._interactive = interactive
        self._console = console
        self._warned: set[str] = set()
        self._extensions = extensions
        self._current: PhaseRecord | None = None
        self._event = 0
        self._start: FlowStart | None = None
        self._signing_key: SigningKey | None = None
        #: The flow's summary as written; None before.
        self.summary: FlowSummary | None = None
        #: The part of the flow that others read.
        self.state = self._new_state(project, contracts)
        config = project.config
        self._notifier = self._new_notifier(config)
        #: The flow's messages to people.
        self.notices = Notices(self.state, self._notifier)
        self._row_news = RowNews(console.show, _title(CONTRACTS["P70"]))
        self._estimates = Estimates(self.state)
        #: The flow's checklist.
        self.checklist = self._new_checklist(project)
        self._courtroom = Courtroom(
            store=self.state.store,
            auditors=auditors_of(config, project.root),
            enforced=config.wf_phase_court_enforce,
            project_root=project.root,
            extra_audits=extensions.audits,
        )

    def _new_state(self, project: Project, contracts: Mapping[str, Contract]) -> FlowState:
        say = self._console.say
        flow_id, started_at = self._identity()
        redactor = redactor_of(project, self._environ)
        store = self._new_store(project, flow_id, redactor)
        providers = [logged(p, store.events) for p in self._extensions.providers()]
        binding = self._new_binding(project, providers, flow_id, store)
        watched = Monitor(project, self._open_sweep, self._show_rows)
        return FlowState(
            project, dict(contracts), flow_id, started_at, redactor, store, binding, watched, say
        )

    # ---- what several pods have otherwise (`flow.member`, `flow.fleet`) ---------------

    def _identity(self) -> tuple[str, datetime]:
        started_at = datetime.now(timezone.utc)
        stamp = started_at.strftime("%Y%m%dT%H%M%SZ")
        return ids.flow_id(stamp, secrets.token_hex(3)), started_at

    def _new_store(self, project: Project, flow_id: str, redactor: Redactor) -> EvidenceStore:
        folder = project.root / project.config.wf_flow_evidence_dir
        return EvidenceStore(folder, flow_id, redactor, self._record_written)

    def _new_binding(
        self, project: Project, providers: list[Provider], flow_id: str, store: EvidenceStore
    ) -> Binding:
        say = self._console.say
        return Binding(project, providers, flow_id, store.events, say, self._show_silence)

    def _new_notifier(self, config: Config) -> Notifier:
        return Notifier(urls_of(config, self._environ), self.state.redactor, self.state.say)

    def _new_checklist(self, project: Project) -> Checklist:
        return self._checklist_of(project, self.state.contracts)

    def _checklist_of(self, project: Project, contracts: Mapping[str, Contract]) -> Checklist:
        config = project.config
        found = Checklist(
            project.root / config.wf_checklist_path,
            contracts,
            reset_on_end=config.wf_checklist_reset_on_end,
        )
        found.shown = self.state.redactor.shown
        return found

    def _open_sweep(self, on_status: Callable[[CampaignStatus], None]) -> SweepView:
        project, campaign_id = self.state.project, self.state.fact("P60", "campaign_id")
        return Sweep(self.state.pod, campaign_id, on_status, project.deselected)

    def _start_sweep(self, secrets: Mapping[str, str], price: float | None) -> Result:
        return sweep.start(self.state.pod, secrets, price, self._news, ceiling=self._ceiling())

    def _ceiling(self) -> sweep.Ceiling | None:
        budget = budget_of(self.state)
        return None if budget is None else budget.ceiling

    def _why_not_here(self) -> str:
        """Why the pod does not have the results for P80; '' if it may."""
        return ""

    def _schedule_removal(self) -> None:
        self.state.pod.idle_removal.try_schedule()

    def _phase_statuses(self) -> dict[str, str]:
        return {code: record.status for code, record in self.state.phases.items()}

    @property
    def signing_key(self) -> SigningKey | None:
        """The key that signs the flow's records, from P00 on; None for none."""
        return self._signing_key

    @property
    def auditors(self) -> Auditors:
        """Runs the auditor of each court."""
        return self._courtroom.auditors

    @property
    def phases_held_here(self) -> frozenset[str]:
        """Codes of the phases that this flow's court has held."""
        return self._courtroom.held

    @property
    def phases_held(self) -> frozenset[str]:
        """The same, including those of its members' courts."""
        return self.phases_held_here | frozenset(self._courtroom.held_elsewhere())

    # ---- phases: opened and judged by the plugin -------------------------------------

    def skips(self, contract: Contract) -> bool:
        """Whether a halt skips a phase."""
        return self.state.halt is not None and not contract.always

    def start(self) -> None:
        """Write flow.start.json and begin the checklist."""
        state = self.state
        self._start = start_of(state, self._environ)
        path = state.store.write_start(self._start)
        facts = {"flow_id": state.flow_id, "start_sha256": sha256_file(str(path))}
        self._event = state.store.events.begin("flow", facts)
        self.checklist.begin(state.flow_id)

    def begin(self, code: str) -> PhaseRecord:
        """Open a phase's record."""
        self._courtroom.auditors.prepare()
        self.notices.halt()
        state, events = self.state, self.state.store.events
        record = PhaseRecord(state.contracts[code], datetime.now(timezone.utc))
        record.flow_status = "ok" if state.halt is None else str(state.halt)
        state.phases[code] = record
        self._current = record
        events.phase = code
        record.event = events.begin("phase", {"name": record.contract.name})
        return record

    def patience(self, code: str) -> AbstractContextManager[object]:
        """How long a silent pod is waited for in a phase and in the tests of its rows."""
        session = self.state.session
        return session.watching() if session is not None and code == "P70" else nullcontext()

    def observe_pod(self) -> None:
        """Begin to note the pod's state: the answers to the phase's requests carry it.

        This is not part of `begin`, as a thread may do it for the phase of a member.
        """
        self._news("")
        self.state.binding.begin_phase()

    def observe_pod_after(self, failure: Failure | None) -> None:
        """Record the pod's state before and after the open phase.

        The pod is asked for what no answer said. An interruption of that is a failure of the
        phase, which its court judges.
        """
        if failure is not None and failure.is_cut:
            self._doubt_pod()
        record, binding = self.current, self.state.binding
        if record.touches_pod:
            record.fsm_after = binding.state()
            record.fsm_before = record.fsm_before or binding.state_before()

    def end(self, failure: Failure | None) -> Verdict:
        """Close the open phase: write its evidence and hold its court.

        Anything but a pass of both layers halts the flow, unless WF_PHASE_COURT_ENFORCE is 0;
        the checklist is ticked only on a pass.
        """
        record, state = self.current, self.state
        contract = record.contract
        record.failure = failure
        record.ended_at = datetime.now(timezone.utc)
        evidence = record.evidence = evidence_of(state, record)
        checks = self._further_checks(evidence, contract)
        verdict = self._courtroom.hold(evidence, contract, world_of(state, record), checks)
        record.verdict = verdict
        record.evidence_path = str(state.store.path_of(contract.code, "evidence"))
        record.verdict_path = str(state.store.path_of(contract.code, "verdict"))
        record.verdict_sha256 = state.store.head
        self._answer_phase(record, verdict)
        self._current = None
        self._apply(record, verdict)
        return verdict

    def _apply(self, record: PhaseRecord, verdict: Verdict) -> None:
        """Apply a verdict to the checklist, the known violations, and the halt."""
        state, code, failure = self.state, record.contract.code, record.failure
        if code == "P00":
            state.known_violations = []
        if verdict.phase_pass:
            self.checklist.tick(code)
            return
        state.known_violations.extend(verdict.violated_laws)
        self.checklist.event(f"{code} failed (code {verdict.code})")
        if state.halt is None and (verdict.enforced or failure is not None):
            kind = "interrupt" if failure and failure.kind == "interrupted" else "court"
            state.halt = Halt(code, verdict.code, kind, verdict.halt_reason)

    def halt(self, contract: Contract, kind: str, text: str) -> None:
        """Skip the rest of the flow for a reason outside a phase's own body.

        `kind` is one of `wire.failures`. The first reason is kept, but an interruption always
        makes pytest exit with 2.
        """
        ends_session = kind == "interrupted"
        if ends_session:
            self._doubt_pod()
        before = self.state.halt
        if before is None:
            source = "interrupt" if ends_session else "court"
            code = code_of(kind, contract.family)
            self.state.halt = Halt(contract.code, code, source, text)
        elif ends_session:
            self.state.halt = replace(before, kind="interrupt")

    def row_failed(self, code: str) -> None:
        """Record that a test of a sweep row failed in phase `code`."""
        self.state.failed_case = self.state.failed_case or code

    def finish(self, exit_code: int) -> Path:
        """Write flow.summary.json, its copy on the pod, and end the checklist.

        The sweep on the pod is left as it is; the lease is released.
        """
        state, session = self.state, self.state.session
        if session is not None:
            session.idle_removal.stop()  # its effects could no longer be recorded
        assert self._start is not None
        end = end_of(state, exit_code)
        summary = summarise(state, self._start, end)
        self.summary = summary
        self._signing_key = self._signing_key or late_key(state, summary)
        path = close_folder(state, summary, end, self._event, self._signing_key)
        for event in events_of(state.watched.rows):
            self.checklist.event(event)
        halted = f", {state.halt}" if state.halt is not None else ""
        self.checklist.event(f"flow ended: {'ok' if summary.ok else 'not ok'}{halted}")
        if session is not None:
            leave_pod(state, session, path)
        notified = self.notices.end(summary)
        if notified:
            self.checklist.event(notified)
        self.checklist.end()
        return path

    def record_views(self, drawn: Sequence[tuple[Kind, Path]]) -> list[str]:
        """Write flow.views.json with the files that were `drawn` of this flow, and sign it.

        Returns a line for each that could not be recorded. Does nothing without a summary.
        """
        if self.state.store.summary_digest is None:
            return []
        try:
            return close_views(self.state, drawn, self._signing_key)
        except OSError as e:
            return [f"{chain.VIEWS} could not be written: {e}"]

    def close(self) -> None:
        """Close the connection to the pod; processes on it continue."""
        self._courtroom.auditors.close()
        self.state.binding.close()
        self._notifier.close()

    # ---- operations: called by the bodies of phases -----------------------------------

    def precheck(self) -> Result:
        """P00: the local checks; see `operations.precheck`."""

        def operation() -> Result:
            result = precheck.precheck(
                self.state.project,
                self.state.binding.providers,
                interactive=self._interactive,
                environ=self._environ,
            )
            # read now, so that removing the key during the flow does not leave it unsigned
            self._signing_key = signing_key_of(self.state.project)
            if self._signing_key is not None:
                sign_start(self.state, self._signing_key)
            return result

        return self._do("precheck", operation)

    def provision(self) -> Result:
        """P10: rent a pod, or skip with the reason."""
        return self._do("provision", lambda: self.state.binding.rent(interactive=self._interactive))

    def bind(self) -> Result:
        """P20: resolve the target and lock it for the flow."""
        return self._do("bind", self.state.binding.bind)

    def ready(self) -> Result:
        """P30: the pod answers, is verified, and has the config."""
        result = self._do("pod-status", lambda: ready.ready(self.state.pod, say=self.state.say))
        self.current.fsm_before = result.state_before
        return result

    def bootstrap(self) -> Result:
        """P40: prerequisites and helper scripts; a resume only verifies them."""
        return self._do(
            "bootstrap",
            lambda: bootstrap.bootstrap(
                self.state.pod, verify=self.state.keeps_campaign, show=self._news
            ),
        )

    def checkout(self) -> Result:
        """P50: repository, environment, data; only verified for an existing campaign."""

        def operation() -> Result:
            project = self.state.project
            return checkout.checkout(
                self.state.pod,
                verify=self.state.keeps_campaign,
                show=self._news,
                contracts=self._extensions.data_contracts(project.config, project.rows),
            )

        result = self._do("checkout", operation)
        installed = installation_line(result.facts)
        if installed:
            self.state.say(installed)
        return result

    def launch(self) -> Result:
        """P60: start, resume or skip the sweep, as `--wf-sweep` says."""
        mode = self.state.project.options.sweep
        if mode == "skip":
            return self._do("sweep-skip", lambda: Result("sweep-skip", skipped="--wf-sweep=skip"))
        secrets = secrets_of(self.state.project, self._environ)
        price, _ = pod_cost(self.state)

        def operation() -> Result:
            if mode == "resume":
                return sweep.resume(self.state.pod, secrets, self._ceiling())
            return self._start_sweep(secrets, price)

        result = self._do(f"sweep-{mode}", operation)
        if "smoke" in result.facts:
            self.state.say(result.facts["smoke"]["line"])
        if "plan_line" in result.facts:
            self.state.say(result.facts["plan_line"])
        self.current.facts.update(self._estimates.at_launch())
        return result

    def monitor(self) -> Result:
        """P70: wait for the whole campaign, or take one snapshot of it."""
        result = self._do("sweep-watch", self._watch)
        if not result.skipped:
            # from here on, the idle time counts from this status of the sweep
            self._schedule_removal()
        return result

    def fetch(self) -> Result:
        """P80: copy results to this machine, verified, as `--wf-fetch` says."""
        elsewhere = self._why_not_here()
        if elsewhere:
            return self._do("fetch-skip", lambda: Result("fetch-skip", skipped=elsewhere))
        wanted = self.state.project.options.fetch
        command = "fetch-skip" if wanted == "none" else "fetch"
        tell = as_news(self._news)
        may_delete = self.state.project.may_delete
        result = self._do(
            command,
            lambda: fetch.fetch(self.state.pod, wanted, for_delete=may_delete, on_bytes=tell),
        )
        notes = fetch.left_out_notes(result.facts)
        for run_id, note in notes.items():
            self.state.watched.note(run_id, note)
        for row in [row for row in self.state.watched.rows if row.run_id in notes][:MAX_EVENTS]:
            self.state.say(f"row {row.run_id}: {notes_of(row)[-1]}")
        return result

    def teardown(self) -> Result:
        """P90: keep or delete the pod; after a halt as WF_TEARDOWN_ON_FAILURE says."""
        state, binding = self.state, self.state.binding
        binding.bind_rented_pod()
        session, is_new = binding.session, binding.is_new
        # a pod that was rented for this flow and never answered has no results
        if state.teardown_mode == "delete" and session is not None and (session.is_open or is_new):
            act = teardown.delete if session.is_open else teardown.delete_untouched
            result = self._do("pod-delete", lambda: act(session))
            binding.is_deleted = True
            return result
        price, cost = pod_cost(state)
        if session is not None and price is not None:
            spent = "" if cost is None else f", ${cost:.2f} so far"
            state.say(f"pod {session.target.name} is kept at ${price:g}/h{spent}")
        result = self._do(
            "teardown",
            lambda: teardown.keep(session, usd_per_hour=price, cost_usd=cost, is_new=is_new),
        )
        self.notices.kept(result.facts)
        return result

    def summarise(self) -> Result:
        """P99: the flow's result so far; its files are written after the court of this phase."""
        state = self.state
        facts = {
            "phases": self._phase_statuses(),
            "chain_head": state.store.head,
            "halt": str(state.halt) if state.halt else "",
            **self.notices.facts(),
        }
        return self._do("summary", lambda: Result("summary", facts))

    # ---- the running phase's record --------------------------------------------------

    @property
    def current(self) -> PhaseRecord:
        """The record of the running phase. Raises OperationFailed if none is running."""
        if self._current is None:
            raise OperationFailed("not-in-contract", "no phase is running.")
        return self._current

    # ---- live view ----------------------------------------------------------------------

    def _news(self, text: str) -> None:
        self._console.show(News(_title(self.current.contract), text))

    def _show_rows(self, status: CampaignStatus) -> None:
        self._row_news.take(status)
        self._estimates.row_seen()
        if self._notifier:
            self.notices.rows(self.state.watched.selected)

    # ---- private -----------------------------------------------------------------------

    def _do(self, command: str, operation: Callable[[], Result]) -> Result:
        record = self.current
        record.note_command(command)
        try:
            result = operation()
            record.absorb(result)
            self._warn(record, result.facts.get("warnings") or ())
        finally:
            session = self.state.session
            if session is not None and session.findings:
                record.facts["damaged"] = session.findings
                self._warn(record, session.findings)
        return result

    def _warn(self, record: PhaseRecord, warnings: Iterable[str]) -> None:
        """Print each warning once per flow."""
        for warning in warnings:
            if warning in self._warned:
                continue  # P50's warnings repeat those of P00
            self._warned.add(warning)
            text = f"{record.contract.code} warning: {warning}"
            self.checklist.event(text)
            self.state.say(text)

    def _doubt_pod(self) -> None:
        if self.state.session is not None:
            self.state.session.patience.doubt()

    def _show_silence(self, patience: Patience) -> None:
        phase = self._current.contract if self._current else CONTRACTS["P70"]
        self._console.show(silence_of(patience, _title(phase)))

    def _watch(self) -> Result:
        self.current.notes.extend(self.state.watched.kept_log_tails())
        return self.state.watched.watch()

    def _further_checks(self, evidence: Evidence, contract: Contract) -> list[Check]:
        missing = self.state.store.events.trouble
        own = [Check(name="events-recorded", ok=False, law=6, actual=missing)] if missing else []
        try:
            return [*own, *self._extensions.checks(evidence, contract)]
        except Exception as e:  # noqa: BLE001 - a check that raises has not passed
            raised = Check(name="a pytest_wf_check hook raised", ok=False, law=9, actual=str(e))
            return [*own, raised]

    def _record_written(self, kind: str, record: Mapping[str, Any], path: Path) -> None:
        try:
            self._extensions.record_written(kind, record, path)
        except Exception as e:  # noqa: BLE001 - a sink that fails loses nothing on disk
            self.state.say(f"an evidence sink failed on {path.name}: {e!r}")

    def _answer_phase(self, record: PhaseRecord, verdict: Verdict) -> None:
        status = "ok" if verdict.phase_pass else "failed"
        facts = {"code": verdict.code, "verdict_sha256": record.verdict_sha256}
        self.state.store.events.answer(record.event, "phase", status, facts)
        self.state.store.events.phase = None


def _title(contract: Contract) -> str:
    return f"{contract.code} {contract.name}"
