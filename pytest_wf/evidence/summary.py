"""Computes a flow's summary from its records.

The flow writes it at its end, and each later reader computes it again: a summary that
differs from its records is not believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_wf.config.ranking import Ranking, rank
from pytest_wf.evidence import chain
from pytest_wf.evidence.event_reader import EVENTS, EventsRead, read_events
from pytest_wf.evidence.folder import parsed
from pytest_wf.evidence.records import (
    BestRow,
    Evidence,
    FlowEnd,
    FlowError,
    FlowStart,
    FlowSummary,
    MemberEnd,
    MetricExtremes,
    PhaseSummary,
    RecordNote,
    RowSummary,
    Verdict,
)
from pytest_wf.evidence.times import parse_rfc3339
from pytest_wf.wire.failures import EXPECT, KINDS, code_of, kind_of
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.states import count

R = TypeVar("R", bound=BaseModel)

#: Fields of the summary that do not follow from records; the chain and the signature cover them.
NOT_OF_RECORDS = frozenset({"has_views", "signed_by", "chain_head", "files", "digest"})
_MOST_DIFFERENCES = 20
#: The most failed rows that an error names.
_MOST_NAMED = 10


class PhaseOutcome(NamedTuple):
    """The records of a phase that began; None for those that could not be written."""

    evidence: Evidence | None
    verdict: Verdict | None
    verdict_sha256: str | None


class _Failure(NamedTuple):
    """The cause of a flow's failure: the phase, the code, and its kind."""

    phase: str
    code: int
    kind: str


def summary_of(start: FlowStart, phases: Mapping[str, PhaseOutcome], end: FlowEnd) -> FlowSummary:
    """The summary of a flow with these records.

    It is ok only if every phase passed its court and no selected row failed. A row that was not
    waited for is neither ok nor failed. Raises ValueError if a record's time is invalid.
    """
    found = [
        _phase(code, start.contracts.get(code, {}), phases.get(code))
        for code in sorted({*start.contracts, *phases})
    ]
    seen = _rows(phases)
    rows = [_row(row) for row in seen]
    ranking = rank(seen, start.rank_by, end.guessed_rank_by)
    best = ranking.as_json()
    bad = [row for row in rows if row.ok is False and row.run_id not in set(start.deselected)]
    failure = _failure(start, phases, found, bad, end)
    exit_code = end.exit_code or int(_must_fail(phases, bad, end))
    counts = Counter(f"phases_{p.status}" for p in found)
    counts.update(_row_counts(rows))
    price, cost = _released(phases) or (end.usd_per_hour, end.cost_usd)
    if end.members:
        price, cost = (
            _sum(m.usd_per_hour for m in end.members),
            _sum(m.cost_usd for m in end.members),
        )
    ok = exit_code == 0 and failure is None
    return FlowSummary(
        flow_id=start.flow_id,
        ok=ok,
        exit_code=exit_code,
        failed_phase=failure.phase if failure else None,
        failure_code=failure.code if failure else 0,
        failure_kind=failure.kind if failure else "",
        started_at=start.started_at,
        ended_at=end.ended_at,
        duration_s=_seconds(start.started_at, end.ended_at),
        phases=found,
        rows=rows,
        best=None if best is None else BestRow(**best),
        notes=list(_notes(phases, ranking)),
        error=None if ok else _error(failure, phases, bad, exit_code, end),
        members=end.members,
        counts=dict(sorted(counts.items())),
        cost_usd=cost,
        usd_per_hour=price,
        teardown_mode=_teardown_mode(phases),
    )


def recomputed(documents: Mapping[str, bytes]) -> FlowSummary:
    """The summary that follows from a flow's files. Raises ValueError that says what is missing."""
    start = _record(documents, chain.START, FlowStart)
    log = read_events(documents.get(EVENTS, b""))
    end = _end(log)
    begun = {e.get("phase") for e in log.events if (e["kind"], e["op"]) == ("intent", "phase")}
    codes = {part[0] for part in map(chain.phase_of, documents) if part is not None}
    phases = {}
    for code in sorted({*codes, *(c for c in begun if isinstance(c, str))}):
        evidence_name, verdict_name = (chain.phase_file(code, k) for k in ("evidence", "verdict"))
        evidence = verdict = digest = None
        if evidence_name in documents:
            evidence = _record(documents, evidence_name, Evidence)
            _require_flow(evidence_name, evidence.flow_id, start.flow_id)
        if verdict_name in documents:
            verdict = _record(documents, verdict_name, Verdict)
            _require_flow(verdict_name, verdict.flow_id, start.flow_id)
            digest = sha256_bytes(documents[verdict_name])
        phases[code] = PhaseOutcome(evidence, verdict, digest)
    return summary_of(start, phases, end)


def differences(stated: Mapping[str, Any], computed: Mapping[str, Any]) -> list[str]:
    """A sentence for each field of a summary that does not follow from its records."""
    names = sorted({*stated, *computed} - NOT_OF_RECORDS)
    found = [line for name in names for line in _differ(name, stated.get(name), computed.get(name))]
    more = len(found) - _MOST_DIFFERENCES
    return found if more <= 0 else [*found[:_MOST_DIFFERENCES], f"{more} more fields differ"]


# ---- the parts of a summary -------------------------------------------------------------------


def _phase(code: str, contract: Mapping[str, Any], outcome: PhaseOutcome | None) -> PhaseSummary:
    name = str(contract.get("name", ""))
    if outcome is None:
        return PhaseSummary(code=code, name=name, status="halted")
    evidence, verdict, court = outcome.evidence, outcome.verdict, "none"
    if verdict is not None:
        court = "pass" if verdict.phase_pass else "fail"
        if verdict.constitutional == "unverified":
            court = "unverified"
    return PhaseSummary(
        code=code,
        name=name,
        status=evidence.phase_status if evidence else "fail",
        failure_code=evidence.failure_code if evidence else 0,
        court=court,  # type: ignore[arg-type]
        duration_s=_seconds(evidence.started_at, evidence.ended_at) if evidence else 0.0,
        verdict_sha256=outcome.verdict_sha256,
    )


def _rows(phases: Mapping[str, PhaseOutcome]) -> list[RowStatus]:
    """The rows of the last phase that recorded any, in the order of the manifest."""
    kept = [o.evidence for _, o in sorted(phases.items()) if o.evidence and o.evidence.rows]
    seen = kept[-1].row_statuses().values() if kept else ()
    return sorted(seen, key=lambda row: (row.index, row.run_id))


def _row(row: RowStatus) -> RowSummary:
    return RowSummary(
        run_id=row.run_id,
        state=row.state,
        ok=row.ok,
        attempts=row.attempts,
        failure_class=row.failure_class,
        duration_s=row.duration_s,
        metrics=row.metrics,
        extremes={name: MetricExtremes(**one.as_json()) for name, one in row.extremes.items()},
        sources=dict(row.sources),
        notes=[RecordNote(code=note.code, text=note.text) for note in row.notes],
    )


def _row_counts(rows: Sequence[RowSummary]) -> dict[str, int]:
    """Numbers of rows that are ok, failed, not selected and others, if there are any rows."""
    counts = count(row.state for row in rows)
    found = {f"rows_{name}": counts[name] for name in ("ok", "failed", "not_selected")}
    found["rows_open"] = counts["total"] - sum(found.values())
    return {name: number for name, number in found.items() if number}


def _failure(
    start: FlowStart,
    phases: Mapping[str, PhaseOutcome],
    found: Sequence[PhaseSummary],
    bad: Sequence[RowSummary],
    end: FlowEnd,
) -> _Failure | None:
    """The failure that gives the flow its code; None if nothing failed."""
    failed = next(
        (p for p in found if p.status == "fail" or p.court in ("fail", "unverified")), None
    )
    member = _failed_member(end)
    if member is not None and (failed is None or str(member.failed_phase) < failed.code):
        return _Failure(str(member.failed_phase), member.failure_code, member.failure_kind)
    if failed is not None:
        _, verdict, _ = phases[failed.code]
        code = verdict.code if verdict else failed.failure_code
        return _Failure(failed.code, code, kind_of(code) or "court")
    if end.halted_by:
        return _Failure(end.halted_by, end.halt_code, end.halt_kind)
    if bad:
        # a failed training comes before an unmet expectation
        is_training = any(row.failure_class != EXPECT for row in bad)
        kind = "row-failed" if is_training else "row-expectation"
        return _Failure("P70", KINDS[kind], kind)
    if end.failed_case:
        # the row succeeded, and a test of its author failed
        family = start.contracts.get(end.failed_case, {}).get("family")
        code = code_of("assertion", family if isinstance(family, int) else 1)
        return _Failure(end.failed_case, code, "assertion")
    return None


def _error(
    failure: _Failure | None,
    phases: Mapping[str, PhaseOutcome],
    bad: Sequence[RowSummary],
    exit_code: int,
    end: FlowEnd,
) -> FlowError:
    """Why the flow is not ok: the failure in words, and the command to run next."""
    if failure is None:
        message = f"pytest exits with {exit_code}, and no phase or row of the flow failed."
        return FlowError(code=0, message=message, next=end.next_command)
    member = _failed_member(end)
    if member is not None and member.failed_phase == failure.phase and member.error is not None:
        said = f"{member.member}: {member.error.message}"
        return FlowError(code=failure.code, message=said, next=member.error.next)
    outcome = phases.get(failure.phase)
    evidence, verdict = (outcome.evidence, outcome.verdict) if outcome else (None, None)
    message = (evidence.error if evidence else "") or (verdict.halt_reason if verdict else "")
    if not message and bad and not end.halted_by:
        names = [row.run_id for row in bad]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        rows = "1 row failed" if len(names) == 1 else f"{len(names)} rows failed"
        message = f"{rows}: {', '.join(names[:_MOST_NAMED])}{more}."
    return FlowError(
        code=failure.code,
        message=message or f"{failure.phase} failed: {failure.kind}.",
        next=(verdict.suggested_next_command if verdict else "") or end.next_command,
    )


def _failed_member(end: FlowEnd) -> MemberEnd | None:
    """The member that failed in the earliest phase by itself; None if none did."""
    failed = [one for one in end.members if not one.ok and one.failed_phase]
    # a member that was halted with the others has the phase of the one that failed
    return min(failed, key=lambda one: (str(one.failed_phase), not one.error), default=None)


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return round(sum(known), 6) if known else None


def _notes(phases: Mapping[str, PhaseOutcome], ranking: Ranking) -> Iterator[RecordNote]:
    """Notes on the flow as a whole."""
    verdicts = {code: o.verdict for code, o in sorted(phases.items()) if o.verdict}
    ignored = [code for code, v in verdicts.items() if not v.phase_pass and not v.enforced]
    if ignored:
        text = f"WF_PHASE_COURT_ENFORCE=0: the court of {', '.join(ignored)} failed."
        yield RecordNote(code="court-not-enforced", text=text)
    yield from _rows_left(phases)
    if ranking.best is not None and ranking.guessed:
        text = f"Rows are ranked by the {ranking.words}."
        yield RecordNote(code="rank-guessed", text=text)
    if ranking.best is None and ranking.order:
        yield RecordNote(code="not-ranked", text=ranking.reason)


def _rows_left(phases: Mapping[str, PhaseOutcome]) -> Iterator[RecordNote]:
    """The rows that were not begun because they would have cost too much."""
    monitor = phases.get("P70")
    facts = monitor.evidence.facts if monitor and monitor.evidence else {}
    ceiling, left = facts.get("ceiling"), facts.get("left")
    if isinstance(ceiling, str) and ceiling and isinstance(left, list):
        shown = ", ".join(map(str, left[:_MOST_NAMED])) + (" …" if len(left) > _MOST_NAMED else "")
        text = (
            f"{ceiling} is reached: {len(left)} rows were not begun ({shown or 'none was left'})."
        )
        yield RecordNote(code="budget", text=text)


def _must_fail(phases: Mapping[str, PhaseOutcome], bad: Sequence[RowSummary], end: FlowEnd) -> bool:
    """Whether pytest must have failed. A court that is not enforced fails no test."""
    if end.halted_by or end.failed_case or bad or not all(one.ok for one in end.members):
        return True
    return any(
        o.verdict is None
        or (not o.verdict.phase_pass and o.verdict.enforced)
        or (o.evidence is not None and o.evidence.phase_status == "fail")
        for o in phases.values()
    )


def _released(phases: Mapping[str, PhaseOutcome]) -> tuple[float, float | None] | None:
    """The price and cost of a pod, as the provider stated when it was deleted."""
    outcome = phases.get("P90")
    released = outcome.evidence.facts.get("released") if outcome and outcome.evidence else None
    if not isinstance(released, dict) or released.get("usd_per_hour") is None:
        return None
    return released["usd_per_hour"], released.get("cost_usd")


def _teardown_mode(phases: Mapping[str, PhaseOutcome]) -> str | None:
    """P90's policy; if P90 did not run, the one that it would have had."""
    modes = {code: o.evidence.teardown_mode for code, o in sorted(phases.items()) if o.evidence}
    return modes.get("P90") or next(reversed(modes.values()), None)


def _seconds(begin: str, end: str) -> float:
    spent = (parse_rfc3339(end) - parse_rfc3339(begin)).total_seconds()
    return round(max(0.0, spent), 3)


# ---- the records of a folder ------------------------------------------------------------------


def _record(documents: Mapping[str, bytes], name: str, model: type[R]) -> R:
    try:
        return model.model_validate(parsed(documents.get(name)))
    except (ValidationError, RecursionError):
        raise ValueError(f"{name} is missing or is not a record of this version") from None


def _end(log: EventsRead) -> FlowEnd:
    """The record of the event that ended the flow."""
    ends = [e for e in log.events if (e["kind"], e["op"]) == ("outcome", "flow")]
    facts = ends[-1].get("facts") if ends else None
    try:
        return FlowEnd.model_validate(facts.get("end") if isinstance(facts, dict) else None)
    except (ValidationError, RecursionError):
        raise ValueError(f"{EVENTS} has no event that ends the flow") from None


def _require_flow(name: str, found: str, flow_id: str) -> None:
    if found != flow_id:
        raise ValueError(f"{name} is of flow {found}, and the flow is {flow_id}")


def _differ(where: str, stated: Any, computed: Any) -> Iterator[str]:
    """A sentence for each place below `where` at which two values differ."""
    if isinstance(stated, dict) and isinstance(computed, dict):
        for key in sorted({*stated, *computed}):
            yield from _differ(f"{where}.{key}", stated.get(key), computed.get(key))
    elif isinstance(stated, list) and isinstance(computed, list) and where in ("phases", "rows"):
        key = "code" if where == "phases" else "run_id"
        one, other = _by(key, stated), _by(key, computed)
        for name in dict.fromkeys([*one, *other]):
            yield from _differ(f"{where}[{name}]", one.get(name), other.get(name))
        if [*one] != [*other] or len(stated) != len(one):
            yield f"{where} is not in the order of the records"
    elif stated != computed or isinstance(stated, bool) != isinstance(computed, bool):
        yield f"{where} is {stated!r:.100}, and the records say {computed!r:.100}"


def _by(key: str, listed: Sequence[Any]) -> dict[str, Any]:
    return {str(one.get(key)): one for one in listed if isinstance(one, dict)}
