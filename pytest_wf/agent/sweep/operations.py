"""Operations on campaigns: start, resume, stop, and the frozen manifest."""

import base64
import os
from typing import Dict, List, Optional

from pytest_wf.agent.control import (
    control_files,
    frozen_campaign,
    launches,
    locks,
    shard,
    state,
)
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.launches import Launch
from pytest_wf.agent.control.request import Args, Operation, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results.logs import log
from pytest_wf.agent.results.run_listing import listing
from pytest_wf.agent.sweep import (
    existing_runs,
    launch,
    leftovers,
    old_worktrees,
    run_archive,
    smoke,
    snapshot,
    start_request,
    status,
)
from pytest_wf.agent.sweep.cluster import queued
from pytest_wf.agent.sweep.existing_runs import Wish
from pytest_wf.agent.sweep.inventory import inventory, prune
from pytest_wf.agent.sweep.resume import should_rerun
from pytest_wf.agent.sweep.sharing.operations import OPERATIONS as SHARING
from pytest_wf.agent.sweep.stop import end_all
from pytest_wf.wire import fsm, operations
from pytest_wf.wire.files import read_bytes, remove_file, sha256_bytes
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row

#: The longest that the CSV in a request may be.
_MAX_CSV_BYTES = 32 * 1024 * 1024


def start(session: Session, args: Args) -> Result:
    """Operation `campaign-start`: freeze a new campaign and launch it.

    ``{flow_id, rows, manifest_csv (base64), git_sha?, secrets, selected?, fail_fast?, ceiling?,
    launch?, …}`` with what `Wish.of` and `Ceiling.asked_for` read, ->
    ``{campaign_id, created_at, git_sha, manifest_sha256, adopted, archived, to_run, …}``.
    All rows are frozen; `selected` names those that are launched (all by default). If several pods
    share the campaign, each gets ``{campaign_id, member, assignment, members}`` and trains its own
    rows; with `launch` false nothing is launched before `campaign-resume`. Refusals:
    'sweep-running', 'run-exists', 'run-differs', 'illegal-state', 'manifest', 'launch'.
    """
    settings = session.settings
    with locks.locked(launch.lock_path(settings)):
        before = frozen_campaign.readable_latest(settings)
        if before is not None and before.request_id == session.request_id:
            # this same request, interrupted before it could answer
            return _started(_launched(before, args), [], [])
        asked = start_request.checked(settings, args, before)
        smoke.clear(settings)
        archived = existing_runs.carry_out(settings, asked.planned)
        campaign = start_request.freeze(session, args, asked)
        removed = old_worktrees.remove(settings, campaign.campaign_id)
        return _started(_launched(campaign, args), archived, removed)


def resume(session: Session, args: Args) -> Result:
    """Operation `campaign-resume`: go on with the latest campaign, as it was frozen.

    ``{flow_id, secrets, selected?, fail_fast?, ceiling?, again?, members?}``, with what `Wish.of`
    reads, ->
    ``{campaign_id, attached, to_run, git_sha}``. If a supervisor is alive, it takes on the selected
    rows that it does not have yet. Otherwise one is started for the selected rows (all by default)
    that have not ended or ended badly. Rows in `again` are run again even if they ended well.
    `members` are those that may have the campaign, once some have refused it.
    """
    settings = session.settings
    with locks.locked(launch.lock_path(settings)):
        campaign = frozen_campaign.find(settings)
        _refuse_other_project(settings, campaign)
        state.require(settings, "sweep-resume")
        taken = launches.asked_for(args, campaign.rows, campaign.settings.flag("SWEEP_FAIL_FAST"))
        shard.record_members(campaign, args)
        found = start_request.settled(campaign)
        if found.is_supervised and _is_taken_on(campaign, args, taken):
            found = snapshot.take(campaign)
            reason = "attached to the running sweep"
            launch.move(campaign, "sweep-resume", fsm.SWEEP_RUNNING, reason)
            return _resumed(campaign, True, [row.run_id for row in found.open_rows])
        to_run = _opened(campaign, args, taken.rows(shard.rows(campaign)))
        launch.record(campaign, taken, str(args.get("flow_id", "")))
        remove_file(campaign.stop_path)
        if to_run or snapshot.take(campaign).open_rows:
            if campaign.tree:
                launch.tree_of(campaign)
            launch.launch(campaign, launch.secrets_of(args), "sweep-resume")
        else:
            launch.move(campaign, "sweep-resume", *snapshot.rest(campaign))
        return _resumed(campaign, False, [row.run_id for row in to_run])


def stop(session: Session, _args: Optional[Args] = None) -> Result:
    """Operation `campaign-stop`: end the supervisor and every process of its rows.

    ``{campaign_id, stopped, leftovers, state, reason}``; `leftovers` are pids that could not be
    ended. Where nothing runs, nothing is done.
    """
    settings = session.settings
    with locks.locked(launch.lock_path(settings)):
        campaign = frozen_campaign.readable_latest(settings)
        if campaign is None:
            return _stop_leftovers(settings)
        found = snapshot.take(campaign)
        if found.is_active:
            _refuse_other_project(settings, campaign)
        left = end_all(campaign) if found.is_active else []
        status.settle(campaign)
        now = state.read_state(settings)
        return {
            "campaign_id": campaign.campaign_id,
            "stopped": found.is_active,
            "leftovers": left,
            "state": now.state,
            "reason": now.reason,
        }


def manifest(session: Session, args: Args) -> Result:
    """Operation `manifest`: the frozen rows, the CSV that they came from, and how long those
    that have not ended can take at most (None: unknown)."""
    wanted = args.get("campaign_id")
    campaign = frozen_campaign.find(session.settings, None if wanted is None else str(wanted))
    raw = _manifest_of(campaign)
    return {
        "campaign_id": campaign.campaign_id,
        "rows": [row.as_json() for row in campaign.rows],
        "csv": base64.b64encode(raw).decode("ascii"),
        "manifest_sha256": campaign.manifest_sha256,
        "longest_s": snapshot.longest_s(campaign),
    }


OPERATIONS: Dict[str, Operation] = {
    operations.CAMPAIGN: status.campaign,
    operations.LOG: log,
    operations.MANIFEST: manifest,
    operations.INVENTORY: inventory,
    operations.LISTING: listing,
    operations.PRUNE: prune,
    operations.CAMPAIGN_START: start,
    operations.CAMPAIGN_RESUME: resume,
    operations.CAMPAIGN_STOP: stop,
    operations.SMOKE: smoke.smoke,
    **SHARING,
}


def _stop_leftovers(settings: Settings) -> Result:
    """End the running processes of campaigns whose records cannot be read."""
    found = leftovers.find(settings)
    left = leftovers.end(settings, found)
    if found and state.read_state(settings).state == fsm.SWEEP_RUNNING:
        state.move(settings, "sweep-end", fsm.SWEEP_STALLED, "stopped by the user")
    now = state.read_state(settings)
    return {
        "campaign_id": found[0].campaign_id if found else None,
        "stopped": found != [],
        "leftovers": left,
        "state": now.state,
        "reason": now.reason,
    }


def _manifest_of(campaign: Campaign) -> bytes:
    """The CSV as it was frozen; the pod's copy of the latest one if its own is damaged."""
    latest = os.path.join(campaign.settings.manifests, "sweep-latest.csv")
    why = "it was changed"
    for path in (campaign.manifest_path, latest):
        try:
            raw = read_bytes(path, _MAX_CSV_BYTES)
        except OSError as e:
            why = str(e.strerror)
            continue
        if sha256_bytes(raw) == campaign.manifest_sha256:
            if path == latest:
                control_files.note(
                    "%s on the pod is damaged; %s was read instead" % (campaign.manifest_path, path)
                )
            return raw
    raise control_files.Damaged(campaign.manifest_path, why, frozen_campaign.WAY_ON)


def _is_taken_on(campaign: Campaign, args: Args, taken: Launch) -> bool:
    """Have the living supervisor take on its new rows of `taken`; False if it ended meanwhile."""
    queued.complete(campaign)
    first = frozen_campaign.supervisor_of(campaign).get("first_launch")
    own = launches.selected(campaign, first if isinstance(first, int) else 1)
    rows = taken.rows(shard.rows(campaign))
    more = [] if own is None else [row for row in rows if row.run_id not in own]
    # another ceiling on costs is a launch of its own, even without further rows
    had_ceiling = launches.newest(campaign).ceiling is not None
    if not _opened(campaign, args, more) and taken.ceiling is None and not had_ceiling:
        return True
    return launch.extend(campaign, launch.record(campaign, taken, str(args.get("flow_id", ""))))


def _opened(campaign: Campaign, args: Args, rows: List[Row]) -> List[Row]:
    """Those of `rows` that a launch has to run, prepared for it."""
    known = launches.selected(campaign)
    new = [] if known is None else [r for r in rows if r.run_id not in known and not r.adopted_from]
    planned = existing_runs.plan(campaign.settings, new, Wish.of(args, campaign.git_sha))
    existing_runs.carry_out(campaign.settings, planned)
    again = args.get("again") or ()
    return [row for row in rows if should_rerun(campaign, row, row.run_id in again)]


def _launched(campaign: Campaign, args: Args) -> Campaign:
    """The campaign of a start, launched if the start asks for it."""
    if args.get("launch") is not False:
        launch.launch(campaign, launch.secrets_of(args), "sweep-start")
    return campaign


def _refuse_other_project(settings: Settings, campaign: Campaign) -> None:
    if campaign.project != settings.project:
        raise Refusal(
            "no-campaign",
            "the pod's latest campaign, %s, is of project %s, and this one is %s"
            % (campaign.campaign_id, campaign.project or "unknown", settings.project),
            "Start one of this project with `--wf-sweep=start`, or correct WF_PROJECT.",
        )


def _started(
    campaign: Campaign, archived: List[Dict[str, str]], trees_removed: List[str]
) -> Result:
    launched = {row.run_id for row in launches.selected_rows(campaign)}
    own = shard.rows(campaign)
    to_train = [row.run_id for row in own if not row.adopted_from]
    return {
        "campaign_id": campaign.campaign_id,
        "created_at": campaign.created_at,
        "git_sha": campaign.git_sha,
        "dry_run": campaign.dry_run,
        "manifest_sha256": campaign.manifest_sha256,
        "manifest_path": campaign.manifest_path,
        "total": len(own),
        "adopted": {r.run_id: r.adopted_from for r in campaign.rows if r.adopted_from},
        "archived": archived,
        "plan": dict(campaign.plan),
        "archive": run_archive.measured(campaign.settings),
        "to_run": [run_id for run_id in to_train if run_id in launched],
        "not_selected": [run_id for run_id in to_train if run_id not in launched],
        "tree": campaign.tree,
        "trees_removed": trees_removed,
        "attach": status.attach(campaign),
    }


def _resumed(campaign: Campaign, attached: bool, to_run: List[str]) -> Result:
    return {
        "campaign_id": campaign.campaign_id,
        "created_at": campaign.created_at,
        "attached": attached,
        "to_run": to_run,
        "git_sha": campaign.git_sha,
        "manifest_sha256": campaign.manifest_sha256,
        "attach": status.attach(campaign),
    }
