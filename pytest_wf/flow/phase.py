"""The record of one phase of a running flow, its failure, and the flow's halt."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from pytest_wf.court.contract import Contract
from pytest_wf.errors import OperationFailed, TransportError, WfError
from pytest_wf.evidence.records import Check, Evidence, Verdict
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.wire.failures import code_of


@dataclass(frozen=True)
class Failure:
    """Why a phase failed; `code` contains the family."""

    kind: str
    code: int
    text: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_cut(self) -> bool:
        """Whether an interruption or a time limit ended the body, whatever it was doing."""
        return self.kind in ("interrupted", "timeout")


@dataclass(frozen=True)
class Halt:
    """Why the rest of a flow is skipped. `kind` 'interrupt' makes pytest exit with 2."""

    phase: str
    code: int
    kind: str = "court"
    text: str = ""

    def __str__(self) -> str:
        return f"halted by {self.phase} (code {self.code})"


@dataclass
class PhaseRecord:
    """The evidence of one phase while it is collected."""

    contract: Contract
    started_at: datetime
    fsm_before: str | None = None
    fsm_after: str | None = None
    ended_at: datetime | None = None
    #: 'ok', or the flow's halt when the phase began.
    flow_status: str = "ok"
    commands: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    notes: list[ArtifactNote] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    failure: Failure | None = None
    evidence: Evidence | None = None
    verdict: Verdict | None = None
    evidence_path: str = ""
    verdict_path: str = ""
    verdict_sha256: str | None = None
    #: Number of its intent in events.jsonl; 0 if it could not be written.
    event: int = 0

    @property
    def skipped(self) -> str:
        """Why a policy made the phase do nothing; empty if it did something."""
        return "; ".join(r.skipped for r in self.results if r.skipped)

    @property
    def status(self) -> str:
        """'ok', 'skip' or 'fail'."""
        if self.failure is not None:
            return "fail"
        if self.results and all(r.skipped for r in self.results):
            return "skip"
        return "ok"

    @property
    def duration_s(self) -> float:
        """Seconds from the phase's beginning to its end, or until now."""
        end = self.ended_at or datetime.now(timezone.utc)
        return max(0.0, (end - self.started_at).total_seconds())

    @property
    def touches_pod(self) -> bool:
        """Whether the pod's state before and after the phase belongs in its evidence."""
        return self.contract.states_before is not None or self.contract.code == "P90"

    def note_command(self, command: str) -> None:
        """Record that the phase runs `command`.

        Raises OperationFailed('not-in-contract') if its contract does not allow it.
        """
        self.commands.append(command)
        if command not in self.contract.commands:
            allowed = ", ".join(self.contract.commands) or "nothing"
            raise OperationFailed(
                "not-in-contract",
                f"phase {self.contract.code} may do {allowed}; it tried '{command}'.",
                "Declare the command in the phase's mark, or move the call to its own phase.",
            )

    def attach(self, name: str, content: bytes) -> None:
        """Add a file to the evidence."""
        path = f"attachment.{self.contract.code}.{name}"
        self.notes.append(ArtifactNote("attachment", path, content=content))

    def absorb(self, result: Result) -> None:
        """Add an operation's result to the record."""
        self.results.append(result)
        self.notes.extend(result.artifacts)
        self.facts.update(result.facts)


def failure_of(error: BaseException, family: int, *, kind: str = "") -> Failure:
    """`error` as a failure of a phase of `family`.

    `kind` overrides the kind of the error's type (a time-out, an interruption).
    """
    facts: dict[str, Any] = {}
    if not kind:
        if isinstance(error, OperationFailed):
            kind, facts = error.kind, error.facts
        elif isinstance(error, TransportError):
            kind = error.kind
        elif isinstance(error, AssertionError):
            kind = "assertion"
        else:
            kind = "error"
    text = str(error).strip() or _unsaid(error)
    if isinstance(error, KeyboardInterrupt):
        text = interruption(error)
    if kind == "error" and not isinstance(error, WfError):
        text = f"{type(error).__name__}: {text}"
    return Failure(kind, code_of(kind, family), text, facts)


def _unsaid(error: BaseException) -> str:
    """The type of an error without a message, and the source line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}"


def interruption(error: BaseException) -> str:
    """The interruption of a flow as text: Ctrl-C, a signal's name, or the error itself."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted by {str(error) or 'Ctrl-C'}"
    return repr(error)
