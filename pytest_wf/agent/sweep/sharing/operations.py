"""The operations by which a controller moves rows of a shared campaign between its pods."""

from typing import Dict, List, Tuple

from pytest_wf.agent.control import frozen_campaign, launches, locks, shard, state
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Args, Operation, Result, Session
from pytest_wf.agent.sweep import existing_runs, launch, snapshot, start_request, status
from pytest_wf.agent.sweep.existing_runs import Wish
from pytest_wf.agent.sweep.sharing import claims
from pytest_wf.wire import assignment, fsm, operations
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Malformed, Row


def view(session: Session, args: Args) -> Result:
    """Operation `campaign-shard`: ``{campaign_id, changes?}`` -> what this pod knows of the rows'
    owners; with `changes`, of those that are not as they were frozen.

    `wire.assignment.ShardView` reads the answer. Refusals: 'no-campaign', 'campaign-changed'.
    """
    campaign = _campaign(session, args)
    changes = args.get("changes") is True
    if session.write_nothing:
        return _view(campaign, changes)
    # whoever holds the lease sees all that earlier holders moved: they write under this lock
    with locks.locked(shard.lock_path(campaign)):
        return _view(campaign, changes)


def cede(session: Session, args: Args) -> Result:
    """Operation `campaign-cede`: give up rows that have not begun.

    ``{campaign_id, rows: {run_id: epoch}, to: member}`` ->
    ``{campaign_id, ceded: {run_id: [member, epoch]}, kept: {run_id: reason}}``.
    A row that has begun stays. A repeated request gets the same answer. Refusals: 'no-campaign',
    'campaign-changed', 'manifest'.
    """
    campaign = _campaign(session, args)
    to, rows = args.get("to"), args.get("rows")
    if not assignment.is_member(to) or to == campaign.member or not isinstance(rows, dict):
        raise Refusal("manifest", "rows are ceded to another member, each at its epoch")
    owners = _owners(campaign, {run_id: [campaign.member, e] for run_id, e in rows.items()})
    epochs = {run_id: owner.epoch for run_id, owner in owners.items()}
    what = claims.cede(session, campaign, epochs, str(to))
    return {
        "campaign_id": campaign.campaign_id,
        "ceded": assignment.as_json(what.ceded),
        "kept": what.kept,
    }


def assign(session: Session, args: Args) -> Result:
    """Operation `campaign-assign`: record the owners of rows, and train those of this pod.

    ``{campaign_id, flow_id, rows: {run_id: [member, epoch]}, secrets}`` ->
    ``{campaign_id, known, kept: {run_id: reason}, launched, reason, state}``.
    A lower epoch than the known one changes nothing. A sweep that runs takes the rows on and one
    that has ended begins again; a pod whose sweep was stopped, stalled or not launched trains them
    when it is resumed.
    Refusals: 'no-campaign', 'campaign-changed', 'manifest', 'launch', 'run-exists'.
    """
    settings = session.settings
    with locks.locked(launch.lock_path(settings)):
        campaign = _campaign(session, args)
        owners = _owners(campaign, args.get("rows"))
        new = claims.given(campaign, owners).new
        _make_room(campaign, _own(campaign, new))
        what = claims.give(session, campaign, owners)
        launched, reason = _wake(campaign, args, _own(campaign, what.known))
    return {
        "campaign_id": campaign.campaign_id,
        "known": assignment.as_json(what.known),
        "kept": what.kept,
        "launched": launched,
        "reason": reason,
        "state": state.read_state(settings).state,
    }


OPERATIONS: Dict[str, Operation] = {
    operations.CAMPAIGN_SHARD: view,
    operations.CAMPAIGN_CEDE: cede,
    operations.CAMPAIGN_ASSIGN: assign,
}


def _campaign(session: Session, args: Args) -> Campaign:
    """The latest campaign, which must be the requested one, and shared."""
    found = frozen_campaign.find(session.settings)
    if found.campaign_id != args.get("campaign_id"):
        raise Refusal(
            "campaign-changed",
            "the pod's latest campaign is %s, and not %.200s"
            % (found.campaign_id, args.get("campaign_id")),
            "Continue that one with `--wf-sweep=resume --wf-campaign=%s`, or start a new one with "
            "`--wf-sweep=start`." % found.campaign_id,
            {"campaign_id": found.campaign_id},
        )
    if not found.member:
        raise Refusal(
            "no-campaign", "campaign %s is not shared by several pods" % found.campaign_id
        )
    return found


def _view(campaign: Campaign, changes: bool) -> Result:
    found = shard.of(campaign)
    assert found is not None
    view = found.view(campaign.campaign_id)
    return view.changes_as_json(found.unreadable) if changes else view.as_json()


def _owners(campaign: Campaign, rows: object) -> Dict[str, assignment.Owner]:
    try:
        owners = assignment.read(rows)
    except Malformed as e:
        raise Refusal("manifest", str(e)) from None
    unknown = sorted(owners.keys() - campaign.assignment.keys())
    if unknown:
        raise Refusal("manifest", "no row is called %s" % ", ".join(unknown[:20]))
    return owners


def _own(campaign: Campaign, owners: assignment.Assignment) -> List[Row]:
    """Those rows of `owners` that are this pod's, in the manifest's order."""
    return [
        row
        for row in campaign.rows
        if row.run_id in owners and owners[row.run_id].member == campaign.member
    ]


def _make_room(campaign: Campaign, rows: List[Row]) -> None:
    """Move earlier runs of rows that come to this pod to the archive. Raises Refusal."""
    launch.refuse_without_means(campaign.settings, rows)
    planned = existing_runs.plan(campaign.settings, rows, Wish(campaign.git_sha, force=True))
    existing_runs.carry_out(campaign.settings, planned)


def _wake(campaign: Campaign, args: Args, rows: List[Row]) -> Tuple[bool, str]:
    """Have the supervisor train rows of this pod; whether it does, and why not."""
    rows = [row for row in rows if snapshot.is_open(campaign, row)]
    if not rows:
        return False, ""
    taken = launches.newest(campaign)._replace(selected=tuple(row.run_id for row in rows))
    flow_id = str(args.get("flow_id", ""))
    found = start_request.settled(campaign)
    if found.is_supervised:
        try:
            if launch.extend(campaign, launch.record(campaign, taken, flow_id)):
                return True, ""
        except Refusal as e:
            return False, e.message
    elif not found.is_active:
        status.settle(campaign)
    now = state.read_state(campaign.settings)
    if now.state not in (fsm.SWEEP_COMPLETED, fsm.ARTIFACTS_SYNCED):
        return False, "the pod is in %s: %s" % (now.state, now.reason)
    launch.record(campaign, taken, flow_id)
    if campaign.tree:
        launch.tree_of(campaign)
    launch.launch(campaign, launch.secrets_of(args), "sweep-assign")
    return True, ""
