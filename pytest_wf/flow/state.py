"""The state of one flow, from which evidence and views are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pytest_wf.config.keys import Config
from pytest_wf.court.contract import Contract
from pytest_wf.evidence.records import MemberEnd
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.flow.binding import Binding
from pytest_wf.flow.phase import Halt, PhaseRecord
from pytest_wf.flow.rows.monitor import Monitor, SweepView
from pytest_wf.flow.session import PodSession
from pytest_wf.project.project import Options, Project
from pytest_wf.wire.redact import Redactor


@dataclass
class FlowState:
    """One flow's project, pod, evidence, and the records of its phases so far.

    `Flow` changes it; everything else reads it.
    """

    project: Project
    contracts: Mapping[str, Contract]
    flow_id: str
    started_at: datetime
    redactor: Redactor
    store: EvidenceStore
    binding: Binding
    #: The statuses of the sweep's rows.
    watched: Monitor
    #: Prints a line that stays on the terminal.
    say: Callable[[str], None]
    phases: dict[str, PhaseRecord] = field(default_factory=dict)
    halt: Halt | None = None
    #: The phase of the first failed test of a row, whatever it asserted.
    failed_case: str | None = None
    #: The member whose part of the flow it is; '' for the flow as a whole.
    member: str = ""
    #: The parts of the members, by name.
    members: dict[str, FlowState] = field(default_factory=dict)
    #: How the members ended; empty before, and with one pod.
    member_ends: list[MemberEnd] = field(default_factory=list)
    #: Laws that were violated since P00.
    known_violations: list[int | str] = field(default_factory=list)

    @property
    def config(self) -> Config:
        """The active config."""
        return self.project.config

    @property
    def pod(self) -> PodSession:
        """The session with the bound pod. Raises OperationFailed before P20 has bound one."""
        return self.binding.pod

    @property
    def session(self) -> PodSession | None:
        """The session with the bound pod; None before P20 has bound one."""
        return self.binding.session

    @property
    def sweep(self) -> SweepView:
        """The campaign that this flow started, resumed, or found on the pod."""
        return self.watched.sweep

    @property
    def options(self) -> dict[str, str]:
        """The flow's options by their short names."""
        o, default = self.project.options, self.config.wf_default_teardown
        further = {
            "campaign": o.campaign,
            "config": str(o.config or ""),
            "csv": str(o.csv or ""),
            "reports": str(o.reports) if o.reports != Options().reports else "",
            "smoke": "true" if o.smoke else "",
            "last_failed": "true" if o.last_failed else "",
            "pods": str(o.pods or ""),
            "selection": self.project.selection_words,
            "default_teardown": default if default != "keep" else "",
            "root": o.root_from_here,
        }
        return {
            "provision": o.provision,
            "sweep": o.sweep,
            "wait": "true" if o.wait else "false",
            "fetch": o.fetch,
            "teardown": self.project.teardown,
            **{name: value for name, value in further.items() if value},
        }

    @property
    def teardown_mode(self) -> str:
        """What P90 would do now, 'keep' or 'delete'; after a halt by WF_TEARDOWN_ON_FAILURE."""
        return self.project.teardown if self.halt is None else self.config.wf_teardown_on_failure

    @property
    def keeps_campaign(self) -> bool:
        """Whether a campaign on the pod is resumed, or only read.

        The code and the environment of the campaign are then verified and not changed.
        Contacts the pod with `--wf-sweep=skip`.
        """
        mode = self.project.options.sweep
        return mode == "resume" or (mode == "skip" and self.binding.has_resumable_campaign())

    def fact(self, code: str, name: str) -> str | None:
        """A fact that phase `code` recorded, as text; None if there is none."""
        record = self.phases.get(code)
        value = record.facts.get(name) if record else None
        return None if value is None else str(value)
