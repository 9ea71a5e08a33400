"""P80: results brought to this machine, every file verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.evidence.fetch_record import (
    COMMIT_RECORD,
    LeftOut,
    left_out_text,
    record_name,
    shown,
    size_text,
)
from pytest_wf.fetch.fetch import FetchOptions, RunFetched, fetch_runs
from pytest_wf.fetch.local_runs import is_ours, verified_runs
from pytest_wf.flow.operations.sweep import status_of
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import operations
from pytest_wf.wire.rows import CampaignStatus, Note
from pytest_wf.wire.states import DRY_RUN, ROW_ENDED

#: So much of what was left out of a run is named in the evidence.
_MOST_NAMED = 50


def fetch(
    session: PodSession,
    wanted: str,
    *,
    partial: bool = False,
    on_bytes: Callable[[int, int], None] | None = None,
) -> Result:
    """Copy results to this machine; every file is compared with the digest that the pod gave.

    `wanted` is 'none', 'all' or ``run:<run_id>``. Rows that have not ended stay on the pod;
    ARTIFACTS_SYNCED is set only when the whole campaign has ended, is here and is verified.
    With `partial` a named row is copied as it is now and marked as partial: nothing relies on
    such a copy, and the whole one replaces it.
    """
    if wanted == "none":
        return Result("fetch-skip", skipped="--wf-fetch=none")
    session.hold_lease()
    status = status_of(session)
    rows = {row.run_id: row for row in status.rows}
    if wanted.startswith("run:"):
        run_id = wanted[len("run:") :]
        if run_id not in rows:
            raise OperationFailed(
                "no-such-run",
                f"campaign {status.campaign_id} has no row {run_id!r}.",
                "Look at `wf sweep-status`.",
            )
        asked = [run_id]
    else:
        asked = list(rows)
    # a dry run leaves a command and no results
    ended = [run_id for run_id in asked if rows[run_id].state in ROW_ENDED - {DRY_RUN}]
    unended = {}
    if partial and wanted.startswith("run:") and rows[asked[0]].state not in ROW_ENDED:
        unended = {asked[0]: rows[asked[0]].state}
    elif wanted.startswith("run:") and not ended:
        raise OperationFailed(
            "incomplete",
            f"row {asked[0]} is {rows[asked[0]].state}: it has no results yet.",
            "Wait for its end with `wf sweep-watch`, or resume it with `--wf-sweep=resume`; "
            f"`wf fetch-run {asked[0]} --partial` copies what there is.",
        )
    project = session.project
    dest = project.root / project.config.local_artifacts_dir
    unwritten = {session.request(operations.FETCH_BEGIN)["unwritten"]}
    fetched = None
    try:
        options = FetchOptions(
            dest,
            campaign_id=status.campaign_id,
            flow_id=session.flow_id,
            checkpoints=project.fetches_checkpoints,
            checkpoint_patterns=project.config.checkpoint_patterns,
            adopted=_adopted(status),
            unended=unended,
            on_bytes=on_bytes,
            log=session.log,
        )
        fetched = fetch_runs(session.client, [*ended, *unended], options)
    finally:
        synced = fetched is not None and not _missing(dest, status)
        unwritten.add(session.request(operations.FETCH_END, {"synced": synced})["unwritten"])
    facts: dict[str, Any] = {
        "campaign_id": status.campaign_id,
        "runs": {run_id: _run_facts(run) for run_id, run in fetched.runs.items()},
        "bytes": fetched.bytes,
        "files": fetched.files,
        "verified": all(run.verified for run in fetched.runs.values()),
        "problems": {i: list(run.problems) for i, run in fetched.runs.items() if run.problems},
        "partial": list(unended),
        "not_ended": [run_id for run_id in asked if run_id not in ended],
        "synced": synced,
        # changes of the pod's state that could not be written to its full disk
        "state_unwritten": sorted(unwritten - {""}),
    }
    records = tuple(
        ArtifactNote(
            "fetch-record", record_name(run_id), content=(run.path / COMMIT_RECORD).read_bytes()
        )
        for run_id, run in fetched.runs.items()
        if is_ours(run.path)
    )
    return Result("fetch", facts, artifacts=records)


def left_out_notes(facts: Mapping[str, Any]) -> dict[str, Note]:
    """A note on each fetched run of which something is on the pod alone, by run id."""
    notes = {}
    for run_id, run in (facts.get("runs") or {}).items():
        named = [LeftOut.from_json(one) for one in run["left_out"]]
        if named:
            more = run["left_out_count"] - len(named)
            total = f" and {more} more, {size_text(run['left_out_bytes'])} in all" if more else ""
            text = f"on the pod, and not fetched: {left_out_text(named)}{total}"
            notes[run_id] = Note("left-out", text)
    return notes


def unfetched(session: PodSession) -> list[str]:
    """Rows of the pod's latest campaign whose results are not on this machine and verified.

    Every file is read again and compared with the digest that it was fetched with, as the
    pod's copy is deleted next.
    """
    try:
        status = status_of(session)
    except OperationFailed as e:
        if e.kind == "no-campaign":
            return []
        raise
    project = session.project
    return _missing(project.root / project.config.local_artifacts_dir, status, digests=True)


def _missing(dest: Path, status: CampaignStatus, *, digests: bool = False) -> list[str]:
    """Rows of `status` that have not ended, or whose results are not here and verified."""
    verified = verified_runs(dest, status.campaign_id, adopted=_adopted(status), digests=digests)
    return [
        row.run_id
        for row in status.rows
        if row.state not in ROW_ENDED or (row.state != DRY_RUN and row.run_id not in verified)
    ]


def _adopted(status: CampaignStatus) -> dict[str, str]:
    """The campaigns that trained the rows that this one adopted, by run id."""
    return {row.run_id: row.adopted_from for row in status.rows if row.adopted_from}


def _run_facts(run: RunFetched) -> dict[str, Any]:
    left_out = run.left_out
    return {
        "path": str(run.path),
        "files": run.files,
        "bytes": run.bytes,
        "verified": run.verified,
        # what could not be carried comes first; the commit record has all of it
        "left_out": [
            {**one.as_json(), "path": shown(one.path)}
            for one in sorted(left_out, key=lambda one: one.is_checkpoint)[:_MOST_NAMED]
        ],
        "left_out_count": len(left_out),
        "left_out_bytes": sum(one.bytes for one in left_out),
    }
