"""One of several pods of a flow: a `Flow` whose operations run in parallel with the others'."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_wf.config.keys import Config
from pytest_wf.court.checklist import Checklist
from pytest_wf.court.contract import Contract
from pytest_wf.errors import OperationFailed, WfError
from pytest_wf.evidence import chain
from pytest_wf.evidence.records import MemberEnd
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.flow.binding import Binding
from pytest_wf.flow.finalize import sign_start
from pytest_wf.flow.fleet import forgotten, gone_pod
from pytest_wf.flow.fleet.fleet_binding import MemberBinding
from pytest_wf.flow.fleet.fleet_console import FleetConsole
from pytest_wf.flow.fleet.row_moves import Partner
from pytest_wf.flow.fleet.work import Work
from pytest_wf.flow.flow import Flow
from pytest_wf.flow.operations import fetch, sweep
from pytest_wf.flow.operations.sweep import Shard
from pytest_wf.flow.phase import Failure, PhaseRecord
from pytest_wf.flow.results import Result
from pytest_wf.notify.sender import Notifier
from pytest_wf.pods.base import Provider
from pytest_wf.project.project import Project
from pytest_wf.wire import assignment, ids, operations
from pytest_wf.wire.assignment import Owner
from pytest_wf.wire.files import sha256_file
from pytest_wf.wire.redact import Redactor

#: How often a member checks whether the others have reached the same point.
_LOOK_S = 0.1
#: Failures after which it is unknown what the pod did.
_UNANSWERED = frozenset(
    (
        *("agent-broken", "error", "hostile-answer", "interrupted", "lease-lost"),
        *("link-lost", "timeout", "unreachable"),
    )
)
#: Failure kinds of a pod that does not have the campaign.
_NO_SUCH_CAMPAIGN = ("no-campaign", "campaign-changed")


class Peers:
    """The members of one flow, as each of them sees the others."""

    def __init__(self, flow: Flow, console: FleetConsole) -> None:
        #: The flow as a whole.
        self.flow = flow
        self.console = console
        self.members: dict[str, Member] = {}
        self.campaign_id = ""
        #: The owners of the rows, once P60 has assigned them.
        self.owners: dict[str, Owner] = {}
        #: The members whose pods are known to be gone, once P70 has ended.
        self.gone: Collection[str] = ()
        #: Whether pods are gone, or gave no answer in P70.
        self.lacks_pods = False
        self._lock = threading.Lock()
        #: The member whose pod has a GPU, by the GPU's UUID.
        self._gpus: dict[str, str] = {}
        #: For each member that freezes the campaign, whether it has; None until then.
        self._frozen: dict[str, bool | None] = {}
        #: The members that are known not to have the campaign that P60 starts.
        self._refused: set[str] = set()

    def run_on_all(self, verb: str, code: str) -> None:
        """Begin an operation of phase `code` on every member that runs the phase."""
        taking_part = [member for member in self.members.values() if member.takes_part(code)]
        if verb == "launch" and self.flow.state.project.options.sweep == "start":
            self._assign(taking_part)
        if verb == "teardown":
            self.flow.state.binding.bind_rented_pod()
        for member in taking_part:
            member.begin_beside(verb, code)

    def take_gone(self, names: Collection[str]) -> None:
        """Record the members whose pods are gone."""
        self.gone = names
        self.lacks_pods = self.lacks_pods or bool(names)

    def owner_of(self, run_id: str) -> str:
        """The member that has a row, as its pod said or as last recorded; '' for none."""
        said = self.flow.state.watched.owner_of(run_id)
        recorded = self.owners.get(run_id)
        return said or (recorded.member if recorded is not None else "")

    def claim_gpus(self, name: str, uuids: Collection[str]) -> None:
        """Record the GPUs of a member. Raises OperationFailed if another member has them."""
        with self._lock:
            taken = {self._gpus.setdefault(uuid, name) for uuid in uuids} - {name}
        if taken:
            raise OperationFailed(
                "no-target",
                f"{name} has GPUs of {', '.join(sorted(taken))}: they are one machine.",
                "Name each machine once, or give each pod GPUs of its own.",
            )

    def shard_of(self, name: str) -> Shard:
        """A member's part of the campaign that P60 starts. Raises OperationFailed."""
        if not self.owners:
            raise OperationFailed(
                "launch",
                f"the rows cannot be assigned: {self._unassignable}.",
                "Ask for fewer GPUs per row, or name pods that have them.",
            )
        return Shard(self.campaign_id, name, self.owners, sorted(self._frozen))

    def has_frozen(self, name: str, *, ok: bool, is_refused: bool) -> None:
        """Record whether a member has frozen the campaign, or is known not to have it."""
        with self._lock:
            if is_refused:
                self._refused.add(name)
            self._frozen[name] = ok

    def await_frozen(self) -> set[str]:
        """Wait until all members have frozen the campaign, or failed to; return those that may
        have it.

        Raises OperationFailed if too few have: nothing may be launched then.
        """
        while any(self._frozen[name] is None for name in self._frozen):
            time.sleep(_LOOK_S)
        config = self.flow.state.config
        failed = sorted(name for name, ok in self._frozen.items() if not ok)
        if len(self._frozen) - len(failed) < config.least_pods:
            raise OperationFailed(
                "launch",
                f"the campaign could not be frozen on {', '.join(failed)}, and {config.least_pods} "
                "pods are needed: nothing was launched.",
                "Look at the cases of those pods.",
            )
        return self._frozen.keys() - self._refused

    def partners(self, taking_part: Collection[str]) -> list[Partner]:
        """The members that may have rows of the campaign, for moves."""
        return [
            Partner(
                name=name,
                session=member.state.session,
                gpus=member.gpus,
                takes_part=name in taking_part,
            )
            for name, member in self.members.items()
            if not self._frozen or name in self._frozen
        ]

    def _assign(self, members: Collection[Member]) -> None:
        """Assign the rows to members, once, before any of them freezes the campaign."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.campaign_id = ids.campaign_id(stamp, secrets.token_hex(3))
        self._frozen = {member.name: None for member in members}
        config = self.flow.state.config
        try:
            self.owners = assignment.assign(
                self.flow.state.project.all_rows,
                [assignment.Member(member.name, member.gpus) for member in members],
                config.gpus_per_run or 0,
            )
        except ValueError as e:
            self._unassignable = str(e)

    _unassignable = "no member is usable"


class Member(Flow):
    """The part of a flow on one pod: its phases, evidence, lease and halt.

    An operation in the body of a phase runs on the pods of all members at once, each in a thread of
    its own; the body waits for its own pod's.
    """

    def __init__(
        self,
        peers: Peers,
        name: str,
        project: Project,
        contracts: Mapping[str, Contract],
        **further: Any,
    ) -> None:
        #: 'pod1' and so on.
        self.name = name
        self._peers = peers
        self._work: Work[Result] | None = None
        super().__init__(project, contracts, console=peers.console.of(name), **further)
        self.state.member = name
        self._courtroom.auditors = peers.flow.auditors  # courts are held one after another
        self._courtroom.held_elsewhere = lambda: peers.flow.phases_held

    # ---- made for a member ----------------------------------------------------------------

    def _identity(self) -> tuple[str, datetime]:
        return self._peers.flow.state.flow_id, self._peers.flow.state.started_at

    def _new_store(self, _project: Project, flow_id: str, redactor: Redactor) -> EvidenceStore:
        folder = self._peers.flow.state.store.dir / chain.MEMBERS
        return EvidenceStore(folder, flow_id, redactor, self._record_written, name=self.name)

    def _new_binding(
        self, project: Project, providers: list[Provider], flow_id: str, store: EvidenceStore
    ) -> Binding:
        say = self._console.say
        return MemberBinding(project, providers, flow_id, store.events, say, self._show_silence)

    def _new_checklist(self, _project: Project) -> Checklist:
        return _MemberChecklist(self._peers, self.name)

    def _new_notifier(self, _config: Config) -> Notifier:
        return Notifier(
            {}, self.state.redactor, self.state.say
        )  # the flow itself sends notifications

    # ---- phases -----------------------------------------------------------------------------

    def takes_part(self, code: str) -> bool:
        """Whether the member runs phase `code`, or did until just now."""
        if self._current is not None:
            return self._current.contract.code == code
        return not self.skips(self.state.contracts[code]) and code not in self.state.phases

    def skips(self, contract: Contract) -> bool:
        """As in `Flow`; P80 also runs if P70 halted the flow as it lacked other pods."""
        return super().skips(contract) and not (contract.code == "P80" and self._may_still_fetch)

    @property
    def _may_still_fetch(self) -> bool:
        """Whether P70 halted the flow as it lacked pods, and this one answers or is gone."""
        halt, session = self.state.halt, self.state.session
        if not self._peers.lacks_pods or halt is None or session is None:
            return False
        is_of_p70 = halt.phase == "P70" and halt.kind != "interrupt"
        return is_of_p70 and (self.name in self._peers.gone or not session.patience.lost)

    def is_open(self, code: str) -> bool:
        """Whether phase `code` has begun and is not judged."""
        return self._current is not None and self._current.contract.code == code

    def begin(self, code: str) -> PhaseRecord:
        """Open a phase's record, or return the one opened for another member's item."""
        if self.is_open(code):
            return self.current
        self.begin_folder()
        return super().begin(code)

    def begin_folder(self) -> None:
        """Write the start record, if there is none; signed if the flow's is."""
        if self._start is not None:
            return
        self.start()
        self._signing_key = self._peers.flow.signing_key
        if self._signing_key is not None:
            sign_start(self.state, self._signing_key)

    def observe_pod(self) -> None:
        """As in `Flow`; a thread has done it if another member's item began the phase."""
        if self._work is None:
            super().observe_pod()

    def observe_pod_after(self, failure: Failure | None) -> None:
        """As in `Flow`; waits for an operation that the body did not wait for.

        If the body was cut, so is the operation. The last P60 estimates the cost of all rows.
        """
        is_cut = failure is not None and failure.is_cut
        work, self._work = self._work, None
        if work is not None and is_cut:
            work.end(self._peers.console.flush)
        elif work is not None:
            work.wait(self._peers.console.flush)
        super().observe_pod_after(failure)
        if self._ends_launch and not is_cut:
            self.current.facts.update(self._peers.flow._estimates.at_launch())

    @property
    def _ends_launch(self) -> bool:
        """Whether this is the last P60 to end, of a flow that launches rows."""
        if self.current.contract.code != "P60" or self.state.project.options.sweep == "skip":
            return False
        return not any(one.is_open("P60") for one in self._peers.members.values() if one != self)

    # ---- operations -------------------------------------------------------------------------

    def ready(self) -> Result:
        """P30; also refuses a pod that is another member's."""
        return self._beside("ready")

    def bootstrap(self) -> Result:
        """P40."""
        return self._beside("bootstrap")

    def checkout(self) -> Result:
        """P50."""
        return self._beside("checkout")

    def launch(self) -> Result:
        """P60: all members freeze the campaign, then all launch it."""
        return self._beside("launch")

    def fetch(self) -> Result:
        """P80."""
        return self._beside("fetch")

    def teardown(self) -> Result:
        """P90."""
        result = self._beside("teardown")
        self._peers.flow.notices.kept(result.facts)
        return result

    def begin_beside(self, verb: str, code: str) -> None:
        """Begin the operation `verb` in a thread, which opens the phase if it is not open."""
        is_ahead = not self.is_open(code)
        if is_ahead:
            self.begin(code)
        own: Callable[[], Result] = getattr(self, f"_{verb}_here")

        def work() -> Result:
            if is_ahead:
                Flow.observe_pod(self)
            return own()

        self._work = Work(f"{self.name}-{verb}", work)
        self._work.start()

    def flush(self) -> None:
        """Print the output of threads; for the main thread."""
        self._peers.console.flush()

    def stop_work(self) -> None:
        """Interrupt the operation in the member's thread, if there is one."""
        if self._work is not None:
            self._work.stop()

    def _beside(self, verb: str) -> Result:
        if self._work is None:
            self._peers.run_on_all(verb, self.current.contract.code)
        work, self._work = self._work, None
        assert work is not None  # the member takes part in the phase of the body
        return work.wait(self._peers.console.flush)

    # ---- what runs in the thread ------------------------------------------------------------

    def _ready_here(self) -> Result:
        try:
            result = super().ready()
        except OperationFailed as e:
            owner = e.facts.get("owner") if e.kind == "lease-held" else None
            if not isinstance(owner, dict) or owner.get("flow_id") != self.state.flow_id:
                raise
            raise OperationFailed(
                "no-target",
                f"{self.name} has the outputs folder of another pod of this flow: "
                f"{self.state.config.ops_remote_outputs_dir}.",
                "Name each pod once, or separate their folders with ${WF_MEMBER}.",
            ) from e
        gpus = result.facts["probe"].get("gpus") or []
        self._peers.claim_gpus(self.name, [str(gpu["uuid"]) for gpu in gpus if gpu.get("uuid")])
        return result

    def _bootstrap_here(self) -> Result:
        return super().bootstrap()

    def _checkout_here(self) -> Result:
        return super().checkout()

    def _launch_here(self) -> Result:
        if self.state.project.options.sweep == "resume":
            forgotten.refuse_forgotten(self.state.pod, self.name)
        return super().launch()

    def _fetch_here(self) -> Result:
        return super().fetch()

    def _teardown_here(self) -> Result:
        return super().teardown()

    def _start_sweep(self, secrets: Mapping[str, str], price: float | None) -> Result:
        """Freeze the campaign, wait for the other members to freeze it, and launch it."""
        is_frozen = is_refused = False
        try:
            ceiling = self._ceiling()  # raises before anything is frozen
            if ceiling is not None:
                ceiling()
            pod, shard = self.state.pod, self._peers.shard_of(self.name)
            result = sweep.start(pod, secrets, price, self._news, shard)
            is_frozen = True
        except OperationFailed as e:
            is_refused = e.kind not in _UNANSWERED and self._lacks_campaign()
            raise
        finally:
            self._peers.has_frozen(self.name, ok=is_frozen, is_refused=is_refused)
        members = self._peers.await_frozen()
        sweep.launch_shard(self.state.pod, secrets, self._ceiling(), members)
        return result

    def _lacks_campaign(self) -> bool:
        """Whether the pod answers that it does not have the campaign that P60 starts."""
        try:
            args = {"campaign_id": self._peers.campaign_id}
            self.state.pod.request(operations.CAMPAIGN_SHARD, args)
        except OperationFailed as e:
            return e.kind in _NO_SUCH_CAMPAIGN
        except (WfError, TimeoutError, OSError):
            pass  # it may have it
        return False

    def _ceiling(self) -> sweep.Ceiling | None:
        """The ceiling on the costs of all members."""
        return self._peers.flow._ceiling()

    def _why_not_here(self) -> str:
        run_id = self.state.project.options.fetch_run
        owner = self._peers.flow.state.watched.owner_of(run_id) if run_id else ""
        if owner not in ("", self.name):
            return f"row {run_id} is with {owner}"
        is_gone = self.name in self._peers.gone and self.state.project.options.fetch != "none"
        return self._why_nothing_is_missing(run_id) if is_gone else ""

    def _why_nothing_is_missing(self, asked: str | None) -> str:
        """See `gone_pod`; about one row alone if `asked` names it."""
        run_ids = [row.run_id for row in self._peers.flow.state.watched.rows]
        rows = [self.state.watched.row(i) for i in run_ids if asked in (None, i)]
        here = fetch.verified_here(self.state.project, self._peers.campaign_id, rows)
        elsewhere = {i for i in run_ids if self._peers.owner_of(i) not in ("", self.name)}
        return gone_pod.why_nothing_is_missing(self.name, rows, elsewhere, here)

    # ---- for the flow as a whole --------------------------------------------------------------

    @property
    def gpus(self) -> int:
        """The GPUs that P30 found on the pod."""
        ready = self.state.phases.get("P30")
        probe = ready.facts.get("probe") if ready is not None else None
        return len(probe.get("gpus") or []) if isinstance(probe, dict) else 0

    def end_of_part(self, *, interrupted: bool) -> MemberEnd:
        """Write the member's summary and close its folder; return how it ended."""
        self.begin_folder()
        path: Path | None = None
        try:
            path = self.finish(2 if interrupted else 0)
        except (OSError, OperationFailed) as e:
            self.state.say(f"the summary could not be written: {e}")
        summary = self.summary
        ended = (
            {
                name: getattr(summary, name)
                for name in (
                    *("ok", "failed_phase", "failure_code", "failure_kind", "error"),
                    *("cost_usd", "usd_per_hour"),
                )
            }
            if summary is not None and path is not None
            else {"ok": False}
        )
        return MemberEnd(
            member=self.name,
            target=self.state.binding.locked,
            summary_sha256=sha256_file(str(path)) if path is not None else None,
            **ended,
        )


class _MemberChecklist(Checklist):
    """A member's part of the flow's checklist: a phase is ticked when all its members passed."""

    def __init__(self, peers: Peers, name: str) -> None:
        self._peers = peers
        self._name = name
        self._passed: set[str] = set()
        self.shown = str

    def begin(self, flow_id: str) -> None:
        """Do nothing: the flow as a whole begins it."""

    def tick(self, code: str) -> None:
        """Tick the phase once every member has passed it."""
        self._passed.add(code)
        lists = [member.checklist for member in self._peers.members.values()]
        if all(isinstance(one, _MemberChecklist) and code in one._passed for one in lists):
            self._peers.flow.checklist.tick(code)

    def event(self, text: str) -> None:
        """Add a line to the events, with the member's name."""
        with self._peers.console.lock:
            self._peers.flow.checklist.event(f"{self._name}: {text}")

    def end(self) -> None:
        """Do nothing: the flow as a whole ends it."""
