"""Records the rows of a good flow as the project's baseline."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pytest_wf.config import expect
from pytest_wf.errors import InputError, Problem
from pytest_wf.evidence import chain
from pytest_wf.evidence.records import Baseline, BaselineRow, Evidence, FlowSummary, RowSummary
from pytest_wf.evidence.times import rfc3339
from pytest_wf.evidence.verify import NoFlow, verify_flow
from pytest_wf.project.baseline import (
    BASELINE,
    MAX_BYTES,
    BaselineFile,
    problem,
    read_baseline,
    refusal,
)
from pytest_wf.wire.files import BadJson, parse_json, pretty_json, sha256_bytes, write_atomic
from pytest_wf.wire.rows import Extremes, measures

_MAX_TOLD = 20


@dataclass(frozen=True)
class Replaced:
    """The result of `set_baseline`. `kept_at` is the new path of the previous baseline."""

    path: Path
    record: Baseline
    sha256: str
    before: BaselineFile | None
    kept_at: Path | None


def set_baseline(root: Path, flow_dir: Path) -> Replaced:
    """Make the rows of the flow in `flow_dir` the baseline of the project at `root`.

    A flow that does not verify, is not ok, or has rows without an end or without metrics is
    refused: InputError names all reasons. The previous baseline is kept under a name
    with the flow that it came from.
    """
    summary, raw = _summary(flow_dir)
    problems = _unfit(flow_dir, summary)
    if problems:
        raise InputError(problems)
    rows = {row.run_id: BaselineRow(metrics=_measures(row)) for row in summary.rows}
    record = Baseline(
        flow_id=summary.flow_id,
        summary_sha256=sha256_bytes(raw),
        git_sha=_of_evidence(flow_dir, "P50", "git_sha"),
        campaign_id=_of_evidence(flow_dir, "P70", "campaign_id"),
        set_at=rfc3339(datetime.now(timezone.utc)),
        rows=rows,
    )
    content = pretty_json(record.model_dump(mode="json"))
    path = root / BASELINE
    before, kept_at = None, None
    try:
        before = read_baseline(root)
    except InputError:
        kept_at = _kept(path, "unreadable")
    if before is not None and before.record.rows != rows:
        kept_at = _kept(path, before.record.flow_id)
    write_atomic(str(path), content)
    return Replaced(path, record, sha256_bytes(content), before, kept_at)


def _summary(flow_dir: Path) -> tuple[FlowSummary, bytes]:
    """The flow's summary, from a folder that verifies. Raises InputError."""
    shown = str(flow_dir)
    try:
        found = verify_flow(flow_dir, with_views=False)
    except NoFlow:
        reason = "not a flow's folder."
        raise refusal(shown, reason, "Name one such as reports/flows/<flow_id>.") from None
    if not found.ok:
        told = [problem(shown, f"{line}.", "") for line in found.findings[:_MAX_TOLD]]
        count = len(found.findings)
        reason = f"the flow does not verify: {count} finding{'s' * (count != 1)}."
        remedy = f"Use a flow whose evidence is complete; see `wf verify {shlex.quote(shown)}`."
        raise InputError([*told, problem(shown, reason, remedy)])
    raw = (flow_dir / chain.SUMMARY).read_bytes()
    try:
        return FlowSummary.model_validate(parse_json(raw, MAX_BYTES)), raw
    except (BadJson, ValidationError):
        reason = f"{chain.SUMMARY} is not of this version."
        raise refusal(shown, reason, "Use a flow of this version.") from None


def _unfit(flow_dir: Path, summary: FlowSummary) -> list[Problem]:
    """Why a flow that verifies cannot be a baseline; empty if it can."""
    shown = str(flow_dir)
    found = []
    if not summary.ok:
        where = f" (code {summary.failure_code}, {summary.failed_phase})"
        reason = f"the flow is not ok{where if summary.failed_phase else ''}."
        found.append(problem(shown, reason, "Use a flow that passed."))
    if not summary.rows:
        reason = "the flow has no rows."
        found.append(problem(shown, reason, "Use a flow that waited for its sweep."))
    for row in summary.rows:
        if row.ok is None:
            reason = f"row {row.run_id} has not ended as far as the flow saw ({row.state})."
            found.append(problem(shown, reason, "Use a flow that waited for its rows."))
        elif not row.ok:
            reason = f"row {row.run_id} is not ok ({row.failure_class or row.state})."
            found.append(problem(shown, reason, "Use a flow whose rows are all ok."))
        elif not _numbers(row.metrics):
            reason = f"row {row.run_id} has no metrics."
            remedy = "See docs/metrics.md for where metrics are read from."
            found.append(problem(shown, reason, remedy))
    if len(found) > _MAX_TOLD:
        more = f"{len(found) - _MAX_TOLD} more problems are not shown."
        found[_MAX_TOLD:] = [problem(shown, more, "")]
    return found


def _measures(row: RowSummary) -> dict[str, float]:
    found = {name: Extremes.from_json(one.model_dump()) for name, one in row.extremes.items()}
    return _numbers(measures(row.metrics, found))


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    found = {name: expect.finite(value) for name, value in sorted(metrics.items())}
    return {name: value for name, value in found.items() if value is not None}


def _of_evidence(flow_dir: Path, code: str, field: str) -> str | None:
    try:
        raw = (flow_dir / chain.phase_file(code, "evidence")).read_bytes()
        value = getattr(Evidence.model_validate(parse_json(raw, MAX_BYTES)), field)
    except (OSError, BadJson, ValidationError):
        return None
    return str(value) if value else None


def _kept(path: Path, name: str) -> Path:
    """Give the file at `path` a second name that says where it came from; the path stays.

    If it is not a regular file, it is moved to that name.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100]
    kept, number = path.with_name(f"baseline.{safe}.json"), 1
    while True:
        try:
            if path.is_symlink() or not path.is_file():
                if os.path.lexists(kept):
                    raise FileExistsError
                os.rename(path, kept)
            else:
                os.link(path, kept)
            return kept
        except FileExistsError:
            if os.path.isfile(kept) and kept.read_bytes() == path.read_bytes():
                return kept
            number += 1
            kept = path.with_name(f"baseline.{safe}.{number}.json")
