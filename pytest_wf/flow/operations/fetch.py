"""P80: copies results to this machine, every file verified."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.evidence.fetch_record import (
    COMMIT_RECORD,
    LeftOut,
    left_out_text,
    record_name,
    shown,
)
from pytest_wf.fetch.announced_files import announced_runs
from pytest_wf.fetch.fetch import FetchOptions, RunFetched, fetch_runs
from pytest_wf.fetch.local_copies import LocalCopies
from pytest_wf.fetch.local_runs import is_foreign, is_ours, verified_runs
from pytest_wf.flow.operations.sweep import status_in, status_of
from pytest_wf.flow.operations.unfetched import runs_on
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.project.project import Project
from pytest_wf.wire import operations
from pytest_wf.wire.rows import CampaignStatus, FoundRun, Note, RowStatus
from pytest_wf.wire.states import DRY_RUN, NOT_SELECTED, OTHER_POD, ROW_ENDED, ROW_SETTLED

#: The most left-out files of a run that the evidence names.
_MOST_NAMED = 50


def fetch(
    session: PodSession,
    wanted: str,
    *,
    partial: bool = False,
    for_delete: bool = False,
    on_bytes: Callable[[int, int], None] | None = None,
) -> Result:
    """Copy results to this machine; every file is compared with the digest from the pod.

    `wanted` is 'none', 'all' or ``run:<run_id>``. Rows that have not ended stay on the pod.
    ARTIFACTS_SYNCED is set only if every row that was ever selected has ended and is here,
    verified.
    With `partial`, a named row is copied as it is and marked as partial: nothing relies on
    such a copy, and the complete one replaces it. With `for_delete`, checkpoints are copied, too,
    unless they may be deleted, and with 'all' also runs of earlier campaigns and of the archive:
    everything that a deletion would lose.
    """
    if wanted == "none":
        return Result("fetch-skip", skipped="--wf-fetch=none")
    session.hold_lease()
    begun: dict[str, Any] = {}
    if wanted == "all":
        begun = _begun(session)
        status = status_in(begun["campaign"])
    else:
        status = status_of(session)  # whether the run can be fetched is decided before
    rows = {row.run_id: row for row in status.rows}
    if wanted.startswith("run:"):
        run_id = wanted[len("run:") :]
        if run_id not in rows:
            raise OperationFailed(
                "no-such-run",
                f"campaign {status.campaign_id} has no row {run_id!r}.",
                "Look at `wf sweep-status`; with --from-directory any run's directory is fetched.",
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
        if rows[asked[0]].state == NOT_SELECTED:
            raise OperationFailed(
                "incomplete",
                f"row {asked[0]} was not selected so far: it has no results.",
                f'Train it with `pytest flows/ --wf-flow --wf-sweep=resume -k "[{asked[0]}]"`.',
            )
        if rows[asked[0]].state == OTHER_POD:
            raise OperationFailed(
                "incomplete",
                f"row {asked[0]} has no results on this pod: it is {rows[asked[0]].reason}.",
                "Fetch it from that pod.",
            )
        raise OperationFailed(
            "incomplete",
            f"row {asked[0]} is {rows[asked[0]].state}: it has no results yet.",
            "Wait for its end with `wf sweep-watch`, or resume it with `--wf-sweep=resume`; "
            f"`wf fetch-run {asked[0]} --partial` copies what there is.",
        )
    project = session.project
    may_go = project.config.wf_delete_checkpoints or project.config.wf_delete_unfetched
    dest = project.root / project.config.local_artifacts_dir
    begun = begun or session.request(operations.FETCH_BEGIN)
    unwritten, listing = {begun["unwritten"]}, begun.get("listing")
    fetched = None
    try:
        options = FetchOptions(
            dest,
            campaign_id=status.campaign_id,
            flow_id=session.flow_id,
            checkpoints=project.fetches_checkpoints or (for_delete and not may_go),
            checkpoint_patterns=project.config.checkpoint_patterns,
            adopted=_adopted(status.rows),
            unended=unended,
            listing=listing if isinstance(listing, dict) else None,
            on_bytes=on_bytes,
            log=session.log,
        )
        fetched = fetch_runs(session.client, [*ended, *unended], options).runs
        if for_delete and wanted == "all":
            fetched.update(_fetch_others(session, options, rows))
    finally:
        synced = fetched is not None and not _missing(project, status)
        end = {
            "synced": synced,
            "left_out": fetched is not None and any(run.left_out for run in fetched.values()),
        }
        unwritten.add(session.request(operations.FETCH_END, end)["unwritten"])
    facts: dict[str, Any] = {
        "campaign_id": status.campaign_id,
        "runs": {run_id: _run_facts(run) for run_id, run in fetched.items()},
        "bytes": sum(run.bytes for run in fetched.values()),
        "files": sum(run.files for run in fetched.values()),
        "verified": all(run.verified for run in fetched.values()),
        "problems": {i: list(run.problems) for i, run in fetched.items() if run.problems},
        "partial": list(unended),
        "not_ended": [run_id for run_id in asked if run_id not in ended],
        "synced": synced,
        "warnings": _warnings(fetched, "no requested row has ended"),
        # changes of the pod's state that could not be written to its full disk
        "state_unwritten": sorted(unwritten - {""}),
    }
    records = tuple(
        ArtifactNote(
            "fetch-record", record_name(run_id), content=(run.path / COMMIT_RECORD).read_bytes()
        )
        for run_id, run in fetched.items()
        if is_ours(run.path)
    )
    return Result("fetch", facts, artifacts=records)


def _begun(session: PodSession) -> dict[str, Any]:
    """The answer to the beginning of a fetch, with the campaign's status."""
    try:
        return session.request(operations.FETCH_BEGIN, {"status": True}, timeout_s=300)
    except OperationFailed as e:
        if e.kind == "config-not-synced":
            status_of(session)  # if there is no campaign, that is the reason to give
        raise


def fetch_directories(
    session: PodSession,
    wanted: str,
    *,
    for_delete: bool = False,
    on_bytes: Callable[[int, int], None] | None = None,
) -> Result:
    """Copy run directories as they are, whatever the pod's control files say.

    Needs no campaign, no lease and no state, and changes nothing on the pod. `wanted` is 'all',
    with the archive, or ``run:<run_id>``. The copies are marked, and never verified: only the
    comparison before a deletion, byte for byte, counts them.
    """
    found = runs_on(session)
    if wanted != "all":
        path = wanted[len("run:") :]
        found = [run for run in found if run.path == path]
        if not found:
            raise OperationFailed(
                "no-such-run",
                f"the pod has no directory of a run {path!r} in "
                f"{session.config.ops_remote_outputs_dir}.",
                "`wf fetch-all --from-directory` fetches all that are there.",
            )
    project = session.project
    may_go = project.config.wf_delete_checkpoints or project.config.wf_delete_unfetched
    options = FetchOptions(
        project.root / project.config.local_artifacts_dir,
        campaign_id="",
        flow_id=session.flow_id,
        checkpoints=project.fetches_checkpoints or (for_delete and not may_go),
        checkpoint_patterns=project.config.checkpoint_patterns,
        from_directory=True,
        on_bytes=on_bytes,
        log=session.log,
    )
    fetched = _fetch_found(session, options, found)
    facts = {
        "runs": {run_id: _run_facts(run) for run_id, run in fetched.items()},
        "bytes": sum(run.bytes for run in fetched.values()),
        "files": sum(run.files for run in fetched.values()),
        "verified": False,
        "from_directory": True,
        "complete": not any(run.missing or is_foreign(run.path) for run in fetched.values()),
        "problems": {i: list(run.problems) for i, run in fetched.items() if run.problems},
        "warnings": _warnings(fetched, "the pod has no run directory"),
    }
    return Result("fetch-from-directory", facts)


def left_out_notes(facts: Mapping[str, Any]) -> dict[str, Note]:
    """A note on each fetched run with files that are only on the pod, by run id."""
    notes = {}
    for run_id, run in (facts.get("runs") or {}).items():
        named = [LeftOut.from_json(one) for one in run["left_out"]]
        if named:
            told = left_out_text(named, run["left_out_count"], run["left_out_bytes"])
            if any(one.is_checkpoint for one in named):
                told += "; FETCH_INCLUDE_CHECKPOINTS=1 fetches checkpoints"
            notes[run_id] = Note("left-out", f"on the pod, and not fetched: {told}")
    return notes


def _fetch_others(
    session: PodSession, options: FetchOptions, rows: Collection[str]
) -> dict[str, RunFetched]:
    """Fetch the runs on the pod that are not in `rows` and not here: of earlier campaigns, and
    of the archive. They have the same paths here as on the pod."""
    others = [run for run in runs_on(session) if run.path not in rows]
    there = announced_runs(session.client, [run.path for run in others])
    copies = LocalCopies(options.dest)
    lacking = [
        run
        for run, announced in zip(others, there, strict=True)
        if announced.odd or copies.lacking(run.path, announced.files)
    ]
    return _fetch_found(session, options, lacking)


def _fetch_found(
    session: PodSession, options: FetchOptions, runs: Sequence[FoundRun]
) -> dict[str, RunFetched]:
    """Fetch `runs` to their paths on the pod, which are also their paths here."""
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for run in runs:
        above, slash, name = run.path.rpartition("/")
        groups[above + slash, run.campaign_id][name] = run.state
    found = {}
    for (above, campaign_id), states in groups.items():
        open_rows = {name: state for name, state in states.items() if state not in ROW_ENDED}
        of_group = replace(
            options,
            listing=None,
            dest=options.dest / above,
            pod_folder=above,
            campaign_id=campaign_id,
            adopted={},
            unended=open_rows if options.from_directory else {},
        )
        come = fetch_runs(session.client, list(states), of_group).runs
        found.update({above + name: run for name, run in come.items()})
    return found


def verified_here(project: Project, campaign_id: str, rows: Collection[RowStatus]) -> set[str]:
    """The rows of a campaign whose verified results are on this machine."""
    dest = project.root / project.config.local_artifacts_dir
    return verified_runs(dest, campaign_id, adopted=_adopted(rows))


def _missing(project: Project, status: CampaignStatus) -> list[str]:
    """Selected rows of `status` that have not ended, or whose results are not here and verified."""
    verified = verified_here(project, status.campaign_id, status.rows)
    return [
        row.run_id
        for row in status.rows
        if row.state not in ROW_SETTLED
        or (row.state in ROW_ENDED - {DRY_RUN} and row.run_id not in verified)
    ]


def _adopted(rows: Collection[RowStatus]) -> dict[str, str]:
    """The campaigns that trained the rows that this one adopted, by run id."""
    return {row.run_id: row.adopted_from for row in rows if row.adopted_from}


def _warnings(fetched: Mapping[str, RunFetched], why_none: str) -> list[str]:
    nothing = [f"nothing was fetched: {why_none}"] * (not fetched)
    return [*nothing, *[run.damaged for run in fetched.values() if run.damaged]]


def _run_facts(run: RunFetched) -> dict[str, Any]:
    left_out = run.left_out
    return {
        "path": str(run.path),
        "files": run.files,
        "bytes": run.bytes,
        "verified": run.verified,
        # files that could not be transferred come first; the commit record has all
        "left_out": [
            {**one.as_json(), "path": shown(one.path)}
            for one in sorted(left_out, key=lambda one: one.is_checkpoint)[:_MOST_NAMED]
        ],
        "left_out_count": len(left_out),
        "left_out_bytes": sum(one.bytes for one in left_out),
    }
