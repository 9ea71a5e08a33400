"""One flow: its phases in order, each opened, filled by operations, and judged.

`Flow` knows nothing of pytest. The plugin opens and closes phases; a phase's body calls the
public operations; everything that happened goes into the phase's record, and the court
reads that record and nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_wf.console.live import News
from pytest_wf.console.progress import progress_of
from pytest_wf.console.transfer_meter import in_words
from pytest_wf.court.checklist import Checklist
from pytest_wf.court.constitution import Contract
from pytest_wf.court.courtroom import Courtroom
from pytest_wf.errors import OperationFailed
from pytest_wf.evidence.records import Check, Evidence, Verdict
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.flow.binding import Binding
from pytest_wf.flow.extensions import Extensions
from pytest_wf.flow.finalize import close_folder, leave_copy
from pytest_wf.flow.logged_provider import logged
from pytest_wf.flow.monitor import Monitor
from pytest_wf.flow.notices import Notices
from pytest_wf.flow.operations import bootstrap, checkout, fetch, precheck, ready, sweep, teardown
from pytest_wf.flow.phase import Failure, Halt, PhaseRecord
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.secrets import redactor_of, secrets_of, signing_key_of
from pytest_wf.flow.session import PodSession
from pytest_wf.flow.snapshot import evidence_of, start_of, world_of
from pytest_wf.flow.summary import pod_cost, summarise
from pytest_wf.notify import sender
from pytest_wf.project.project import Project
from pytest_wf.wire import ids
from pytest_wf.wire.files import sha256_file

if TYPE_CHECKING:
    from pytest_wf.evidence.signing import SigningKey

__all__ = ["Flow"]

Say = Callable[[str], None]


class Flow:
    """The life of one remote experiment.

    Made once per run of the lifecycle command; `begin` and `end` bracket each phase, and
    between them the phase's body calls operations (`bootstrap`, `checkout`, …), each of
    which answers a `Result` and leaves its facts in the phase's record.
    """

    def __init__(
        self,
        project: Project,
        contracts: Mapping[str, Contract],
        *,
        environ: Mapping[str, str],
        interactive: bool,
        say: Say,
        show: Callable[[News], None],
        extensions: Extensions,
    ) -> None:
        self.project = project
        self.config = project.config
        self.contracts = dict(contracts)
        self._environ = environ
        self._interactive = interactive
        #: Tells whoever watches a line that stays.
        self.say = say
        self._show = show
        self.started_at = datetime.now(timezone.utc)
        stamp = self.started_at.strftime("%Y%m%dT%H%M%SZ")
        self.flow_id = ids.flow_id(stamp, secrets.token_hex(3))
        self.redactor = redactor_of(project.config, environ)
        self.store = EvidenceStore(
            project.root / self.config.wf_flow_evidence_dir,
            self.flow_id,
            self.redactor,
            self._record_written,
        )
        self.checklist = Checklist(
            project.root / self.config.wf_checklist_path,
            self.contracts,
            reset_on_end=self.config.wf_checklist_reset_on_end,
        )
        self._courtroom = Courtroom(
            store=self.store,
            auditor_cmd=self.config.wf_subagent_validator_cmd,
            auditor_timeout_s=self.config.wf_subagent_validator_timeout_secs,
            enforced=self.config.wf_phase_court_enforce,
            project_root=project.root,
            secret_names=(*self.config.wf_secret_env, *self.config.wf_notify),
            extra_audits=extensions.audits,
        )
        self._extensions = extensions
        self.phases: dict[str, PhaseRecord] = {}
        self.halt: Halt | None = None
        urls = sender.urls_of(self.config, environ)
        self.notifier = sender.Notifier(urls, self.redactor, say)
        self._notices = Notices(self, self.notifier)
        #: The phase of the first row's case that failed, whatever it asserted.
        self.failed_case: str | None = None
        self._current: PhaseRecord | None = None
        self.binding = Binding(
            project,
            [logged(provider, self.store.events) for provider in extensions.providers()],
            self.flow_id,
            self.store.events,
            say,
        )
        self.watched = Monitor(
            project, self.binding, lambda: self.fact("P60", "campaign_id"), self._news_of_rows
        )
        self.known_violations: list[int | str] = []
        self._event = 0
        self._signing_key: SigningKey | None = None

    # ---- phases: opened and judged by the plugin -------------------------------------

    def start(self) -> None:
        """Write flow.start.json and begin the checklist."""
        path = self.store.write_start(start_of(self, self._environ))
        facts = {"flow_id": self.flow_id, "start_sha256": sha256_file(str(path))}
        self._event = self.store.events.begin("flow", facts)
        self.checklist.begin(self.flow_id)

    def begin(self, code: str) -> PhaseRecord:
        """Open a phase's record."""
        self._notices.halt()
        record = PhaseRecord(self.contracts[code], datetime.now(timezone.utc))
        record.flow_status = "ok" if self.halt is None else str(self.halt)
        self.phases[code] = record
        self._current = record
        self.store.events.phase = code
        record.event = self.store.events.begin("phase", {"name": record.contract.name})
        return record

    def look(self) -> None:
        """Note the pod's state at the beginning of the open phase.

        Apart from `begin`, as it asks the pod: whatever interrupts that is the phase's own
        failure, and its court sits over it.
        """
        record = self._current
        assert record is not None
        self._news("")
        if self._touches_pod(record.contract):
            record.fsm_before = self.binding.state()

    def end(self, failure: Failure | None) -> Verdict:
        """Close the open phase: write its evidence and hold its court.

        Anything but a pass of both layers halts the flow (unless the court is told not to
        enforce); the checklist is ticked only on a pass.
        """
        record = self._current
        assert record is not None
        contract = record.contract
        record.failure = failure
        if self._touches_pod(contract):
            record.fsm_after = self.binding.state()
        record.ended_at = datetime.now(timezone.utc)
        evidence = evidence_of(self, record)
        verdict = self._courtroom.hold(
            evidence, contract, world_of(self, record), self._asked_checks(evidence, contract)
        )
        record.verdict = verdict
        record.evidence_path = str(self.store.path_of(contract.code, "evidence"))
        record.verdict_path = str(self.store.path_of(contract.code, "verdict"))
        record.verdict_sha256 = self.store.head
        self._answer_phase(record, verdict)
        self._current = None
        if contract.code == "P00":
            self.known_violations = []
        if verdict.phase_pass:
            self.checklist.tick(contract.code)
        else:
            self.known_violations.extend(verdict.violated_laws)
            self.checklist.event(f"{contract.code} failed (code {verdict.code})")
            if self.halt is None and (verdict.enforced or failure is not None):
                self.halt = Halt(
                    contract.code,
                    verdict.code,
                    "interrupt" if failure and failure.kind == "interrupted" else "court",
                    verdict.halt_reason,
                )
        return verdict

    def interrupt(self, phase: str, code: int, text: str) -> None:
        """Halt because of Ctrl-C or a signal outside a phase's own body."""
        if self.halt is None:
            self.halt = Halt(phase, code, "interrupt", text)

    def finish(self, exit_code: int) -> Path:
        """Write flow.summary.json, its copy on the pod, and end the checklist.

        The sweep on the pod is left as it is; the lease is given back.
        """
        if self.session is not None:
            self.session.idle_removal.stop()  # its effects could no longer be recorded
        summary = summarise(self, exit_code)
        path = close_folder(self, summary, self._event, self._signing_key)
        halted = f", {self.halt}" if self.halt is not None else ""
        self.checklist.event(f"flow ended: {'ok' if summary.ok else 'not ok'}{halted}")
        session = self.session
        if session is not None:
            if session.is_open and not self.binding.is_deleted:
                leave_copy(self, session, path)
            session.close()
        told = self._notices.end(summary)
        if told:
            self.checklist.event(told)
        self.checklist.end()
        return path

    def close(self) -> None:
        """Let go of the pod, whatever happened before."""
        self.binding.close()
        self.notifier.close()

    # ---- operations: called by the bodies of phases -----------------------------------

    def precheck(self) -> Result:
        """P00: consent, secrets, disk; see `operations.precheck`."""

        def operation() -> Result:
            result = precheck.precheck(
                self.project, interactive=self._interactive, environ=self._environ
            )
            # kept: a key that goes away in mid-flow leaves no flow unsigned
            self._signing_key = signing_key_of(self.project)
            return result

        return self._do("precheck", operation)

    def provision(self) -> Result:
        """P10: rent a pod, or say why none is needed."""
        return self._do("provision", lambda: self.binding.rent(interactive=self._interactive))

    def bind(self) -> Result:
        """P20: resolve the one target and lock it for the flow."""
        return self._do("bind", self.binding.bind)

    def ready(self) -> Result:
        """P30: the pod answers, is verified, and has the config."""
        result = self._do("pod-status", lambda: ready.ready(self.pod, say=self.say))
        assert self._current is not None
        self._current.fsm_before = result.state_before
        return result

    def bootstrap(self) -> Result:
        """P40: prerequisites and helper scripts; on a resume they are only verified."""
        return self._do(
            "bootstrap",
            lambda: bootstrap.bootstrap(self.pod, verify=self._verify_only(), show=self._news),
        )

    def checkout(self) -> Result:
        """P50: repository, environment, torch; for a standing campaign they are only verified."""

        def operation() -> Result:
            return checkout.checkout(
                self.pod,
                verify=self._verify_only(),
                show=self._news,
                contracts=self._extensions.data_contracts(self.config, self.project.rows),
            )

        return self._do("checkout", operation)

    def launch(self) -> Result:
        """P60: start, resume or skip the sweep, as `--wf-sweep` says."""
        mode = self.project.options.sweep
        if mode == "skip":
            return self._do("sweep-skip", lambda: Result("sweep-skip", skipped="--wf-sweep=skip"))
        act = sweep.resume if mode == "resume" else sweep.start
        return self._do(
            f"sweep-{mode}",
            lambda: act(self.pod, secrets_of(self.project, self._environ)),
        )

    def monitor(self) -> Result:
        """P70: wait for the whole campaign, or take one snapshot of it."""
        result = self._do("sweep-watch", self._watch)
        if not result.skipped:
            # from here on the idle time counts from what was seen of the sweep just now
            self.pod.idle_removal.try_schedule()
        return result

    def fetch(self) -> Result:
        """P80: bring results home, verified, as `--wf-fetch` says."""
        wanted = self.project.options.fetch
        command = "fetch-skip" if wanted == "none" else "fetch"
        tell = in_words(self._news)
        return self._do(command, lambda: fetch.fetch(self.pod, wanted, on_bytes=tell))

    def teardown(self) -> Result:
        """P90: keep or delete the pod; after a halt as WF_TEARDOWN_ON_FAILURE says."""
        self.binding.bind_what_was_left()
        if self.teardown_mode == "delete" and self.session is not None:
            # a pod that was rented for this flow and never answered holds nothing to lose
            reached = self.session.is_open
            if reached or self.binding.is_new:
                act = teardown.delete if reached else teardown.delete_untouched
                result = self._do("pod-delete", lambda: act(self.pod))
                self.binding.is_deleted = True
                return result
        price, cost = pod_cost(self)
        if self.session is not None and price is not None:
            spent = "" if cost is None else f", ${cost:.2f} so far"
            self.say(f"pod {self.session.target.name} is kept at ${price:g}/h{spent}")
        is_new = self.binding.is_new
        result = self._do(
            "teardown",
            lambda: teardown.keep(self.session, usd_per_hour=price, cost_usd=cost, is_new=is_new),
        )
        self._notices.kept(result.facts)
        return result

    def summarise(self) -> Result:
        """P99: what the flow came to; the files are written when the court has risen."""
        draft = summarise(self, exit_code=0)
        facts = {
            "phases": {code: r.status for code, r in self.phases.items()},
            "counts": draft.counts,
            "chain_head": self.store.head,
            "halt": str(self.halt) if self.halt else "",
            **self._notices.facts(),
        }
        return self._do("summary", lambda: Result("summary", facts))

    # ---- what phases and fixtures look at ---------------------------------------------

    @property
    def pod(self) -> PodSession:
        """The session with the bound pod. Raises OperationFailed before P20 has bound one."""
        return self.binding.pod

    @property
    def session(self) -> PodSession | None:
        """The session with the bound pod; None before P20 has bound one."""
        return self.binding.session

    @property
    def sweep(self) -> sweep.Sweep:
        """The campaign that this flow started, resumed, or found on the pod."""
        return self.watched.sweep

    @property
    def options(self) -> dict[str, str]:
        """The flow's options by their short names."""
        o = self.project.options
        return {
            "provision": o.provision,
            "sweep": o.sweep,
            "wait": "true" if o.wait else "false",
            "fetch": o.fetch,
            "teardown": self.policy,
        }

    @property
    def policy(self) -> str:
        """What the user asked for at the end of a good flow: 'keep' or 'delete'."""
        return self.project.options.teardown or self.config.wf_default_teardown

    @property
    def teardown_mode(self) -> str:
        """What P90 does now: the policy, or after a halt WF_TEARDOWN_ON_FAILURE."""
        return self.policy if self.halt is None else self.config.wf_teardown_on_failure

    def attach(self, name: str, content: bytes) -> None:
        """Put a file into the evidence of the phase that is running."""
        if self._current is None:
            raise OperationFailed("not-in-contract", "no phase is running to attach to.")
        safe = f"attachment.{self._current.contract.code}.{name}"
        self._current.notes.append(ArtifactNote("attachment", safe, content=content))

    def note_command(self, command: str) -> None:
        """Record that the running phase does `command`; refused outside its contract."""
        record = self._current
        if record is None:
            raise OperationFailed("not-in-contract", f"'{command}' was called outside of a phase.")
        record.commands.append(command)
        if command not in record.contract.commands:
            allowed = ", ".join(record.contract.commands) or "nothing"
            raise OperationFailed(
                "not-in-contract",
                f"phase {record.contract.code} may do {allowed}; it tried '{command}'.",
                "Declare the command in the phase's mark, or move the call to its own phase.",
            )

    # ---- news for whoever watches ------------------------------------------------------

    def _news(self, text: str) -> None:
        record = self._current
        self._show(News(_title(record.contract) if record is not None else "", text))

    def _news_of_rows(self, status: Mapping[str, Any]) -> None:
        self._show(progress_of(status, _title(self.contracts["P70"])))
        self._notices.rows(status["rows"])

    # ---- inside ------------------------------------------------------------------------

    def _verify_only(self) -> bool:
        """Whether this flow goes on with a campaign that stands, and so must not touch the code
        and the environment under it."""
        mode = self.project.options.sweep
        if mode != "skip":
            return mode == "resume"
        return self.binding.has_standing_campaign()

    def _do(self, command: str, operation: Callable[[], Result]) -> Result:
        self.note_command(command)
        result = operation()
        assert self._current is not None
        self._current.absorb(result)
        for warning in result.facts.get("warnings") or ():
            text = f"{self._current.contract.code} warning: {warning}"
            self.checklist.event(text)
            self.say(text)
        return result

    def _watch(self) -> Result:
        assert self._current is not None
        self._current.notes.extend(self.watched.kept_log_tails())
        return self.watched.watch()

    def _touches_pod(self, contract: Contract) -> bool:
        return contract.states_before is not None or contract.code == "P90"

    def _asked_checks(self, evidence: Evidence, contract: Contract) -> list[Check]:
        missing = self.store.events.trouble
        own = [Check(name="events-recorded", ok=False, law=6, actual=missing)] if missing else []
        try:
            return [*own, *self._extensions.checks(evidence, contract)]
        except Exception as e:  # noqa: BLE001 - an outsider's check that breaks has not passed
            raised = Check(name="a pytest_wf_check hook raised", ok=False, law=9, actual=str(e))
            return [*own, raised]

    def fact(self, code: str, name: str) -> str | None:
        """A fact that phase `code` left behind, as text; None where it left none."""
        record = self.phases.get(code)
        value = record.facts.get(name) if record else None
        return None if value is None else str(value)

    def _record_written(self, kind: str, record: Mapping[str, Any], path: Path) -> None:
        try:
            self._extensions.record_written(kind, record, path)
        except Exception as e:  # noqa: BLE001 - a sink that fails loses nothing on disk
            self.say(f"an evidence sink failed on {path.name}: {e!r}")

    def _answer_phase(self, record: PhaseRecord, verdict: Verdict) -> None:
        status = "ok" if verdict.phase_pass else "failed"
        facts = {"code": verdict.code, "verdict_sha256": record.verdict_sha256}
        self.store.events.answer(record.event, "phase", status, facts)
        self.store.events.phase = None


def _title(contract: Contract) -> str:
    return f"{contract.code} {contract.name}"
