"""Pydantic models of a flow's JSON records: evidence, reports, verdicts, summary.

Court, checklist, terminal, JUnit and the HTML page read these records and
nothing else. Every model is frozen and refuses unknown fields, except the
two that the pod writes (`wire.rows.RunResult`, `RunStatus`), which may have more.

`schemas()` returns the JSON Schema of each; they are published in `pytest_wf/schemas`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    create_model,
)

from pytest_wf.evidence.times import RFC3339
from pytest_wf.wire.rows import Malformed, RowStatus, RunResult
from pytest_wf.wire.states import UNKNOWN

Time = Annotated[str, StringConstraints(pattern=f"^{RFC3339}$")]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
#: Empty if the file could not be written.
Sha256OrNone = Annotated[str, StringConstraints(pattern="^([0-9a-f]{64})?$")]
Code = Annotated[str, StringConstraints(pattern="^P[0-9]{2}$")]


class Record(BaseModel):
    """Base class of records: immutable, and without undeclared fields."""

    # a loss may be NaN: it must not become null in the file
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Artifact(Record):
    """A file that a phase made or used. `role` is the name that contracts ask for."""

    role: str
    #: Absolute, or relative to the project or to the flow's folder; on the pod, absolute.
    path: str
    sha256: Sha256
    bytes: StrictInt = Field(ge=0)
    where: Literal["local", "pod"] = "local"


class Check(Record):
    """One question that the deterministic court asked, and its answer."""

    name: str
    ok: StrictBool
    #: The law that it violates if it is not ok, if there is one.
    law: int | None = Field(default=None, ge=1, le=9)
    expected: str = ""
    actual: str = ""
    remedy: str = ""


class Evidence(Record):
    """The record of a phase, for its judges; what is not in it counts as not done."""

    schema_version: Literal[1] = 1
    flow_id: str
    phase_id: Code
    phase_name: str
    started_at: Time
    ended_at: Time
    #: The state of the flow when the phase began: 'ok', or what had halted it.
    flow_status: str = "ok"
    mode: Literal["flow", "primitive"] = "flow"
    harness_version: str = ""
    active_config_path: str
    active_config_sha256: Sha256
    override_enabled: StrictBool = False
    #: Flow options by their short names, without `--wf-`: sweep, wait, fetch, teardown, …
    options: dict[str, str] = {}
    lium_target: str | None = None
    ops_default_host: str | None = None
    #: The target that the config names, by whatever key; None for none.
    config_target: str | None = None
    transport: str = ""
    #: None until P20 has bound one.
    resolved_target: str | None = None
    target_source: Literal["explicit", "autobind", "unresolved"] = "unresolved"
    remote_env_path: str | None = None
    fsm_before: str | None = None
    fsm_after: str | None = None
    #: The phase's main command, and all commands that ran, in order.
    command_name: str
    command_rc: StrictInt | None = None
    commands: list[str] = []
    phase_status: Literal["ok", "skip", "fail"]
    #: 0 unless the phase failed; `failure_kind` is a name of `wire.failures.KINDS`.
    failure_code: StrictInt = 0
    failure_kind: str = ""
    #: Text of the failure, redacted.
    error: str = ""
    #: URL of the repository, credentials stripped.
    repo_url: str | None = None
    git_sha: str | None = None
    teardown_mode: str | None = None
    campaign_id: str | None = None
    artifacts: list[Artifact] = []
    #: Sweep rows by run id: a `wire.rows.RowStatus` each.
    rows: dict[str, Any] | None = None
    #: The results of the operations. `court.deterministic` names the facts that it reads.
    facts: dict[str, Any] = {}
    #: Checks that the phase's author added.
    user_checks: list[Check] = []
    #: The contract that the phase declared (`Contract.as_data()`).
    contract: dict[str, Any]

    def row_statuses(self) -> dict[str, RowStatus]:
        """The rows by run id; a row that cannot be parsed has an unknown state."""
        return {run_id: row_status(run_id, row) for run_id, row in (self.rows or {}).items()}


def row_status(run_id: str, row: object) -> RowStatus:
    """A recorded row; its state is unknown if it cannot be parsed."""
    try:
        return RowStatus.from_json(row)
    except Malformed:
        return RowStatus(run_id, UNKNOWN)


class DeterministicReport(Record):
    """The result of the deterministic layer."""

    schema_version: Literal[1] = 1
    flow_id: str
    phase_id: Code
    passed: StrictBool
    checks: list[Check]
    evidence_sha256: Sha256OrNone


class ConstitutionalReport(Record):
    """The auditor's answer, or why it is invalid."""

    schema_version: Literal[1] = 1
    flow_id: str
    phase_id: Code
    verdict: Literal["pass", "fail", "unverified"]
    violated_laws: list[int] = []
    evidence_refs: list[str] = []
    remediation: str = ""
    #: The command that was run.
    auditor: str
    duration_s: float = Field(ge=0)
    #: Why the verdict is 'unverified', and other remarks on the process.
    reason: str = ""
    evidence_sha256: Sha256OrNone


class Verdict(Record):
    """The court's decision on one phase, chained to the one before."""

    schema_version: Literal[1] = 1
    flow_id: str
    phase_id: Code
    phase_pass: StrictBool
    deterministic: Literal["pass", "fail"]
    constitutional: Literal["pass", "fail", "unverified"]
    #: False with `WF_PHASE_COURT_ENFORCE=0`: recorded, but does not halt.
    enforced: StrictBool
    #: Empty when the phase passed.
    halt_reason: str = ""
    violated_laws: list[int] = []
    suggested_next_command: str = ""
    #: 0 if the phase passed; otherwise the phase's failure code, or the court's own.
    code: StrictInt = 0
    evidence_sha256: Sha256OrNone
    deterministic_sha256: Sha256OrNone
    constitutional_sha256: Sha256OrNone
    #: Digest of the raw bytes of the verdict file before; None for the first of a flow.
    previous_verdict_sha256: Sha256 | None = None
    #: The number of lines in events.jsonl, and the digest of the last of them (`Event`).
    events_count: StrictInt = Field(default=0, ge=0)
    events_sha256: Sha256 | None = None
    decided_at: Time


class Event(Record):
    """One line of events.jsonl: the intent of an operation, or its outcome.

    A line is the record's canonical JSON and a newline. Lines are only ever appended.
    """

    schema_version: Literal[1] = 1
    #: 1 for the first line.
    seq: StrictInt = Field(ge=1)
    time: Time
    kind: Literal["intent", "outcome"]
    #: 'flow', 'phase', a request to the pod, or an operation of a provider or a fetch.
    op: str
    #: The phase that was open; None before the first one and after the last.
    phase: Code | None = None
    #: For an outcome: the `seq` of its intent.
    of: StrictInt | None = None
    #: For an outcome. 'failed' is an answer that says so; 'unknown' is no answer, or one that
    #: leaves the result open.
    status: Literal["ok", "failed", "unknown"] | None = None
    facts: dict[str, Any] = {}
    #: SHA-256 of the line before, including its newline; None for the first one.
    previous_sha256: Sha256 | None = None


class FlowStart(Record):
    """The facts and options at the beginning of a flow."""

    schema_version: Literal[1] = 1
    flow_id: str
    started_at: Time
    mode: Literal["flow", "primitive"] = "flow"
    active_config_path: str
    active_config_sha256: Sha256
    override_enabled: StrictBool = False
    csv_path: str | None = None
    csv_sha256: Sha256 | None = None
    options: dict[str, str] = {}
    #: Contracts by phase code, of core phases and of the user's own.
    contracts: dict[str, dict[str, Any]] = {}
    #: Texts of the laws by their number.
    laws: dict[str, str] = {}
    constitution_version: int = 1
    #: Run ids of the selected sweep rows, and of those that the selection leaves out.
    rows: list[str] = []
    deselected: list[str] = []
    #: The rule that rows are ranked by, as in `WF_RANK_BY`; empty if it is guessed.
    rank_by: str = ""
    court_enforced: StrictBool = True
    auditor: str = ""
    harness_version: str = ""
    python: str = ""
    platform: str = ""
    host: str = ""
    user: str = ""
    pid: int = 0
    project_dir: str = ""
    #: The flow's folder, relative to the project if it is below that.
    evidence_dir: str = ""
    #: The member whose part of the flow it is; '' for a flow as a whole.
    member: str = ""
    facts: dict[str, Any] = {}


class FlowError(Record):
    """Why a flow failed, and the command to run next."""

    #: The failure code; 0 where only pytest's exit status shows a failure.
    code: StrictInt
    message: str
    next: str = ""


class MemberEnd(Record):
    """The end of a member of a flow on several pods, according to its own summary."""

    member: str
    #: None if P20 bound none.
    target: str | None = None
    ok: StrictBool
    failed_phase: str | None = None
    failure_code: StrictInt = 0
    failure_kind: str = ""
    error: FlowError | None = None
    cost_usd: float | None = None
    usd_per_hour: float | None = None
    #: Digest of the raw bytes of its summary; None if that could not be written.
    summary_sha256: Sha256 | None = None


class FlowEnd(Record):
    """Facts of a flow's end that no phase records: fact `end` of the event that ends the flow."""

    ended_at: Time
    #: The exit status of pytest, as far as the flow knows.
    exit_code: StrictInt
    #: The phase that halted the flow, the code, and 'court' or 'interrupt'; empty without a halt.
    halted_by: str = ""
    halt_code: StrictInt = 0
    halt_kind: str = ""
    #: The phase of the first failed test of a row, whatever it asserted.
    failed_case: str = ""
    #: The pod's cost, and its price per hour; None if unknown.
    cost_usd: float | None = None
    usd_per_hour: float | None = None
    #: The next command if no phase's verdict names one; empty if nothing is left to do.
    next_command: str = ""
    #: The rule that rows are ranked by if WF_RANK_BY is empty: the guessed rule, in the form of
    #: that key, or '' for none. None in a flow that another version ended.
    guessed_rank_by: str | None = None
    #: With several pods, the end of each.
    members: list[MemberEnd] = []


class PhaseSummary(Record):
    """One phase in the summary."""

    code: Code
    name: str
    #: 'halted' is a phase that never ran because an earlier one had halted the flow.
    status: Literal["ok", "skip", "fail", "halted"]
    failure_code: StrictInt = 0
    court: Literal["pass", "fail", "unverified", "none"] = "none"
    duration_s: float = 0.0
    verdict_sha256: Sha256 | None = None


class RecordNote(Record):
    """A note on a row (`wire.rows.Note`), or on the flow as a whole."""

    code: str
    text: str


class MetricExtremes(Record):
    """The extremes of a metric: a `wire.rows.Extremes`."""

    step: int | None = None
    min: int | float | str
    min_step: int | None = None
    max: int | float | str
    max_step: int | None = None


class RowSummary(Record):
    """One sweep row in the summary. `ok` is None if its result is unknown."""

    run_id: str
    state: str
    ok: StrictBool | None = None
    attempts: StrictInt = 0
    failure_class: str | None = None
    duration_s: float | None = None
    metrics: dict[str, Any] = {}
    extremes: dict[str, MetricExtremes] = {}
    #: For each metric, the source that counts.
    sources: dict[str, str] = {}
    notes: list[RecordNote] = []


class BestRow(Record):
    """The row that is best by one metric (`config.ranking`)."""

    run_id: str
    #: A name, or ``min(name)`` or ``max(name)``.
    metric: str
    goal: Literal["minimize", "maximize"]
    value: float
    #: Whether metric and goal were guessed from names, as WF_RANK_BY is not set.
    guessed: StrictBool


class Signer(Record):
    """The Ed25519 key that signs the summary. Only its owner can tell whose it is."""

    key_id: Sha256
    #: The raw 32 bytes, in hex.
    public_key: Sha256


class FlowSummary(Record):
    """The flow's end; closes the chain. `EvidenceStore.write_summary` fills the last five.

    The other fields follow from the flow's records (`evidence.summary`).
    """

    schema_version: Literal[1] = 1
    flow_id: str
    ok: StrictBool
    exit_code: StrictInt
    failed_phase: str | None = None
    failure_code: StrictInt = 0
    failure_kind: str = ""
    started_at: Time
    ended_at: Time
    duration_s: float
    phases: list[PhaseSummary] = []
    rows: list[RowSummary] = []
    #: None if no row is comparable.
    best: BestRow | None = None
    #: Notes on the flow as a whole; a row has notes of its own.
    notes: list[RecordNote] = []
    #: None if the flow is ok.
    error: FlowError | None = None
    counts: dict[str, int] = {}
    cost_usd: float | None = None
    usd_per_hour: float | None = None
    teardown_mode: str | None = None
    #: With several pods, the end of each.
    members: list[MemberEnd] = []
    #: Whether flow.views.json is written later.
    has_views: StrictBool = False
    #: The signer of flow.summary.dsse.json; None if the flow is not signed.
    signed_by: Signer | None = None
    #: Digest of the last verdict file; None if no court was held.
    chain_head: Sha256 | None = None
    #: Digests of the raw bytes of every other file of the folder.
    files: dict[str, Sha256] = {}
    #: SHA-256 of this record's canonical JSON without this field.
    digest: Sha256OrNone = ""


class FleetMember(Record):
    """A member of a fleet: its name, and the pod that P20 bound to it."""

    member: str
    transport: str = ""
    #: The locked target; None before P20.
    target: str | None = None


class FleetRecord(Record):
    """`fleet.json`: the members of a flow on several pods, and which member trains which row."""

    schema_version: Literal[1] = 1
    flow_id: str
    #: With fewer usable members the flow halts.
    least_pods: StrictInt
    members: list[FleetMember]
    #: The campaign that they share; None before P60 has started one.
    campaign_id: str | None = None
    #: The owner of each row, ``[member, epoch]``, by run id.
    assignment: dict[str, tuple[str, int]] = {}


class View(Record):
    """A file, or a folder of files, drawn from a flow's records."""

    kind: Literal["page", "junit", "checklist", "allure"]
    #: Relative to the project if it is below that.
    path: str
    #: For a folder: of the canonical JSON of `files`.
    sha256: Sha256
    flow_id: str
    #: For a folder: the digests of its files.
    files: dict[str, Sha256] | None = None


class Views(Record):
    """The views drawn after the summary was written; the last file of a flow."""

    schema_version: Literal[1] = 1
    flow_id: str
    #: Digest of the raw bytes of the flow's summary.
    summary_sha256: Sha256
    written_at: Time
    views: list[View]
    #: The signer of flow.views.dsse.json; None if the flow is not signed.
    signed_by: Signer | None = None
    #: SHA-256 of this record's canonical JSON without this field.
    digest: Sha256OrNone = ""


class BaselineRow(Record):
    """A row that later ones are compared with: its last values and extremes, if finite."""

    metrics: dict[str, float]


class Baseline(Record):
    """`flows/baseline.json`: the values for 'baseline' in an expectation. Meant to be committed."""

    schema_version: Literal[1] = 1
    #: The flow that it was taken from, the digest of that flow's summary, and its code.
    flow_id: str
    summary_sha256: Sha256
    git_sha: str | None = None
    campaign_id: str | None = None
    set_at: Time
    #: By run id.
    rows: dict[str, BaselineRow]


class PodRecord(BaseModel):
    """A record that the pod writes: known fields are validated, others are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class RunStatus(PodRecord):
    """`status.json` of a run or task directory: its state now."""

    state: str
    exit_code: StrictInt | None = None
    started_at: str | None = None
    ended_at: str | None = None
    pid: StrictInt | None = None
    boot_id: str | None = None


#: Published schema by file name; that of a run's summary is made from `wire.rows.RunResult`.
_SCHEMA_FILES: dict[str, type[BaseModel]] = {
    "evidence.schema.json": Evidence,
    "deterministic.schema.json": DeterministicReport,
    "constitutional.schema.json": ConstitutionalReport,
    "verdict.schema.json": Verdict,
    "event.schema.json": Event,
    "flow.start.schema.json": FlowStart,
    "flow.summary.schema.json": FlowSummary,
    "flow.views.schema.json": Views,
    "fleet.schema.json": FleetRecord,
    "run.status.schema.json": RunStatus,
    "baseline.schema.json": Baseline,
}


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas (2020-12) of all published records, by file name."""
    models = {**_SCHEMA_FILES, "run.summary.schema.json": _model_of(RunResult)}
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:pytest-wf:{name.removesuffix('.schema.json')}:1",
            **model.model_json_schema(mode="serialization"),
        }
        for name, model in models.items()
    }


def _model_of(record: type[NamedTuple]) -> type[BaseModel]:
    """A model with the fields of a record of `wire`, with their types and defaults."""
    defaults = record._field_defaults
    fields: Any = {
        name: (_modelled(hint), defaults.get(name, ...))
        for name, hint in get_type_hints(record).items()
    }
    return create_model(record.__name__, __base__=PodRecord, __doc__=record.__doc__, **fields)


def _modelled(hint: Any) -> Any:
    """A type with its `wire` records replaced by models, as they are objects in JSON."""
    if isinstance(hint, type) and hasattr(hint, "_fields"):
        return _model_of(hint)
    args = tuple(_modelled(arg) for arg in get_args(hint))
    return hint.copy_with(args) if args else hint
