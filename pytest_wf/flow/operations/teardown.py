"""The end of a flow on its pod: results come home, the pod is kept or deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.evidence.fetch_record import COMMIT_RECORD
from pytest_wf.evidence.verify import record_name
from pytest_wf.fetch.fetch import fetch_runs
from pytest_wf.fetch.local_runs import verified_runs
from pytest_wf.flow.operations import rented_pods
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import fsm, operations
from pytest_wf.wire.states import ROW_ENDED

__all__ = ["delete", "delete_untouched", "fetch", "keep", "unfetched"]


def fetch(
    session: PodSession,
    wanted: str,
    *,
    partial: bool = False,
    on_bytes: Callable[[int, int], None] | None = None,
) -> Result:
    """P80: bring results here, every file compared with the digest that the pod gave.

    `wanted` is 'none', 'all' or ``run:<run_id>``. Rows that have not ended stay on the pod;
    ARTIFACTS_SYNCED is set only when the whole campaign has ended, is here and is verified.
    With `partial` a row that is named comes as it is now, marked as partial: it counts for
    nothing, and gives way to the whole one.
    """
    if wanted == "none":
        return Result("fetch-skip", skipped="--wf-fetch=none")
    session.hold_lease()
    status = session.request(operations.CAMPAIGN, {"wait_s": 0})
    rows = {str(row["run_id"]): row for row in status["rows"]}
    if wanted.startswith("run:"):
        run_id = wanted[len("run:") :]
        if run_id not in rows:
            raise OperationFailed(
                "no-such-run",
                f"campaign {status['campaign_id']} has no row {run_id!r}.",
                "Look at `wf sweep-status`.",
            )
        asked = [run_id]
    else:
        asked = list(rows)
    ended = [run_id for run_id in asked if rows[run_id]["state"] in ROW_ENDED]
    # a dry run leaves a command and nothing to bring home
    ended = [run_id for run_id in ended if rows[run_id]["state"] != "dry_run"]
    unended = {}
    if partial and wanted.startswith("run:") and rows[asked[0]]["state"] not in ROW_ENDED:
        unended = {asked[0]: str(rows[asked[0]]["state"])}
    elif wanted.startswith("run:") and not ended:
        raise OperationFailed(
            "incomplete",
            f"row {asked[0]} is {rows[asked[0]]['state']}: it has no results to bring home.",
            "Wait for its end with `wf sweep-watch`, or resume it with `--wf-sweep=resume`; "
            f"`wf fetch-run {asked[0]} --partial` brings what there is.",
        )
    project = session.project
    dest = project.root / project.config.local_artifacts_dir
    unwritten = {session.request(operations.FETCH_BEGIN)["unwritten"]}
    fetched = None
    try:
        fetched = fetch_runs(
            session.client,
            [*ended, *unended],
            dest,
            campaign_id=str(status["campaign_id"]),
            checkpoints=project.config.fetch_include_checkpoints,
            unended=unended,
            on_bytes=on_bytes,
            log=session.log,
        )
    finally:
        synced = fetched is not None and not _missing(dest, status)
        unwritten.add(session.request(operations.FETCH_END, {"synced": synced})["unwritten"])
    facts: dict[str, Any] = {
        "campaign_id": status["campaign_id"],
        "runs": {
            run_id: {"path": str(run.path), "files": run.files, "bytes": run.bytes}
            for run_id, run in fetched.runs.items()
        },
        "bytes": fetched.bytes,
        "files": fetched.files,
        "verified": all(run.verified for run in fetched.runs.values()),
        "problems": {i: list(run.problems) for i, run in fetched.runs.items() if run.problems},
        "partial": list(unended),
        "not_ended": [run_id for run_id in asked if run_id not in ended],
        "synced": synced,
        # moves of the pod's state that its full disk did not take
        "state_unwritten": sorted(unwritten - {""}),
    }
    records = tuple(
        ArtifactNote(
            "fetch-record", record_name(run_id), content=(run.path / COMMIT_RECORD).read_bytes()
        )
        for run_id, run in fetched.runs.items()
    )
    return Result("fetch", facts, artifacts=records)


def unfetched(session: PodSession) -> list[str]:
    """Rows of the pod's latest campaign whose results are not here and verified.

    Every file is read again and compared with the digest that it was fetched with: this is
    asked before the pod's copy goes away.
    """
    try:
        status = session.request(operations.CAMPAIGN, {"wait_s": 0})
    except OperationFailed as e:
        if e.kind == "no-campaign":
            return []
        raise
    project = session.project
    return _missing(project.root / project.config.local_artifacts_dir, status, digests=True)


def keep(
    session: PodSession | None,
    *,
    usd_per_hour: float | None,
    cost_usd: float | None = None,
    is_new: bool = False,
) -> Result:
    """P90 keep: change nothing, and say what is kept and what it costs, where known.

    `is_new` says that this flow rented the pod: then it ends by itself, where that is asked
    for, also if it never answered.
    """
    name = session.target.name if session is not None else None
    facts: dict[str, Any] = {
        "kept": name,
        "usd_per_hour": usd_per_hour,
        "cost_usd": cost_usd,
        "deleted": False,
    }
    if session is not None and session.config.wf_idle_delete_secs and (session.is_open or is_new):
        facts.update(rented_pods.leave_alone(session, is_untouched=not session.is_open))
    return Result("teardown", facts)


def delete(session: PodSession, *, force: bool = False) -> Result:
    """P90 delete: remove what this flow made on the pod, and release the pod if it was rented.

    Refused while results of the campaign are not here and verified, unless
    WF_DELETE_UNFETCHED=1.
    """
    session.hold_lease()
    missing = [] if session.config.wf_delete_unfetched else unfetched(session)
    if missing:
        shown = ", ".join(missing[:10])
        shown += f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise OperationFailed(
            "unfetched",
            f"results on {session.target.name} are not here and verified: {shown}.",
            "Fetch them with `wf fetch-all`, or set WF_DELETE_UNFETCHED=1 to lose them.",
            {"unfetched": missing},
        )
    removed = session.request(
        operations.DELETE, {"flow_id": session.flow_id, "force": force}, timeout_s=600
    )
    if session.provider.can_rent:
        session.let_go()  # the machine goes away, and its lease with it
    return Result("pod-delete", {**_release(session), "removed": removed})


def delete_untouched(session: PodSession) -> Result:
    """P90 delete of a pod that this flow rented and never reached: nothing of ours is on it."""
    session.let_go()
    return Result("pod-delete", {**_release(session), "removed": {"removed": [], "kept": []}})


def _release(session: PodSession) -> dict[str, Any]:
    released = session.provider.release(
        session.target, session.config, session.flow_id, str(session.project.root)
    )
    return {"deleted": True, "released": released, "kept": None}


def _missing(dest: Path, status: Mapping[str, Any], *, digests: bool = False) -> list[str]:
    """Rows of `status` that have not ended, or have results that are not here and verified."""
    here = verified_runs(dest, str(status["campaign_id"]), digests=digests)
    return [
        str(row["run_id"])
        for row in status["rows"]
        if row["state"] not in ROW_ENDED
        or (row["state"] != "dry_run" and str(row["run_id"]) not in here)
    ]


def is_sweep_running(session: PodSession) -> bool:
    """Whether a campaign is under way on the pod."""
    return session.state().get("state") == fsm.SWEEP_RUNNING
