"""The request of a start: checked against the pod before any of it begins, and frozen."""

import os
from typing import List, NamedTuple, Optional

from pytest_wf.agent.control import (
    clock,
    created_paths,
    frozen_campaign,
    journal,
    launches,
    recipe,
    shard,
    state,
)
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.launches import Launch
from pytest_wf.agent.control.request import Args, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.control.shard import Shard
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.sweep import existing_runs, launch, leftovers, snapshot, status
from pytest_wf.agent.sweep.existing_runs import Plan, Wish
from pytest_wf.agent.sweep.resume import restore_marker, restore_summary
from pytest_wf.wire import fsm, ids, podenv
from pytest_wf.wire.assignment import NO_ASSIGNMENT
from pytest_wf.wire.files import sha256_bytes, write_atomic
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row

#: The longest time that a supervisor may take to write its end.
END_S = 10.0


class StartRequest(NamedTuple):
    """A start that the pod can carry out."""

    #: The rows of the CSV, and the CSV.
    rows: List[Row]
    csv: bytes
    git_sha: str
    #: What it launches.
    first: Launch
    #: The plan for the rows that this pod trains.
    planned: Plan
    #: Which rows this pod trains; None for all.
    shard: Optional[Shard] = None

    @property
    def all_rows(self) -> List[Row]:
        """The rows of the CSV, those of this pod as planned."""
        own = {row.run_id: row for row in self.planned.rows}
        return [own.get(row.run_id, row) for row in self.rows]

    @property
    def first_trained(self) -> Optional[Row]:
        """The first row that it trains; None if it adopts all that it launches."""
        taken = self.first.rows(self.planned.rows)
        return next((row for row in taken if not row.adopted_from), None)


def checked(settings: Settings, args: Args, before: Optional[Campaign]) -> StartRequest:
    """The start that `args` of the operation ask for, `before` being the latest campaign.

    Refusals: 'sweep-running', 'run-exists', 'run-differs', 'illegal-state', 'manifest', 'launch'.
    """
    _refuse_while_one_runs(settings, before)
    _refuse_used_id(settings, args)
    state.require(settings, "sweep-start")
    rows, csv = launch.manifest_of(args)
    launch.require_own_names(settings, rows)
    first = launches.asked_for(args, rows, settings.flag("SWEEP_FAIL_FAST"))
    own_shard = shard.asked_for(args, rows)
    own = rows if own_shard is None else own_shard.split(rows)
    launch.refuse_without_means(settings, first.rows(own))
    launch.refuse_without_trainer(settings)
    git_sha = launch.commit_of(settings, args)
    for row in own:
        restore_marker(settings, row.run_id)
        restore_summary(settings, row.run_id)
    planned = existing_runs.plan(settings, own, Wish.of(args, git_sha))
    return StartRequest(rows, csv, git_sha, first, planned, own_shard)


def freeze(session: Session, args: Args, asked: StartRequest) -> Campaign:
    """Write the campaign and its first launch. From `make_latest` on it is the pod's latest."""
    settings = session.settings
    created_at = clock.now()
    stamp = created_at.replace("-", "").replace(":", "")
    mark = os.urandom(3).hex()
    created_paths.directory(settings, settings.manifests)
    name = "sweep-%s.csv" % stamp
    if os.path.exists(os.path.join(settings.manifests, name)):
        name = "sweep-%s-%s.csv" % (stamp, mark)
    campaign_id = str(args.get("campaign_id") or ids.campaign_id(stamp, mark))
    own = asked.shard or Shard("", NO_ASSIGNMENT)
    campaign = Campaign(
        campaign_id=campaign_id,
        created_at=created_at,
        flow_id=str(args.get("flow_id", "")),
        request_id=session.request_id,
        git_sha=asked.git_sha,
        dry_run=args.get("dry_run") is True,
        manifest_sha256=sha256_bytes(asked.csv),
        manifest_path=os.path.join(settings.manifests, name),
        settings=settings,
        rows=asked.all_rows,
        plan=asked.planned.counts,
        recipe=recipe.of_campaign(
            settings, executor_of(settings).capacity(), args.get("dry_run") is True
        ),
        member=own.member,
        assignment=own.owners,
        members=own.members,
    )
    os.makedirs(campaign.folder, mode=0o700)
    campaign = campaign._replace(tree=launch.tree_of(campaign))
    write_atomic(campaign.manifest_path, asked.csv)
    env = name.replace("sweep-", "workflow-").replace(".csv", ".env")
    write_atomic(os.path.join(settings.manifests, env), podenv.render(settings), 0o600)
    campaign.save()
    launch.record(campaign, asked.first, campaign.flow_id)
    write_atomic(os.path.join(settings.manifests, "sweep-latest.csv"), asked.csv)
    campaign.make_latest()
    return campaign


def settled(campaign: Campaign) -> snapshot.Snapshot:
    """The campaign as it is now, after waiting for a supervisor whose rows have all ended.

    Such a supervisor only writes its end. A request that attached to it would not run failed rows
    again.
    """
    found = snapshot.take(campaign)
    if found.is_supervised and not found.open_rows:
        journal.wait_until(lambda: not frozen_campaign.is_supervised(campaign), END_S)
        found = snapshot.take(campaign)
    return found


def _refuse_while_one_runs(settings: Settings, before: Optional[Campaign]) -> None:
    if before is not None and settled(before).is_active:
        _refuse_running(settings, before)
    found = leftovers.find_in_doubt(settings, before)
    if found:
        raise Refusal(
            "sweep-running",
            "campaign %s is running, and its record cannot be read" % found[0].campaign_id,
            "End it with `wf sweep-stop`.",
            {"campaign_id": found[0].campaign_id},
        )
    if before is not None:
        status.settle(before)
    elif state.read_state(settings).state == fsm.SWEEP_RUNNING:
        reason = "no process of the campaign runs, and its record cannot be read"
        state.move(settings, "sweep-end", fsm.SWEEP_STALLED, reason)


def _refuse_used_id(settings: Settings, args: Args) -> None:
    """Refuse a campaign id that an earlier campaign has.

    The controller gives the same id to all pods that share a campaign.
    """
    campaign_id = args.get("campaign_id")
    if campaign_id is None:
        return
    if not isinstance(campaign_id, str) or not ids.is_id(campaign_id):
        raise Refusal("manifest", "not a campaign id: %.200r" % (campaign_id,))
    if campaign_id in frozen_campaign.known_ids(settings):
        raise Refusal(
            "run-exists",
            "campaign %s is on this pod already" % campaign_id,
            "Let each pod have an OPS_REMOTE_OUTPUTS_DIR of its own, and start again.",
            {"campaign_id": campaign_id},
        )


def _refuse_running(settings: Settings, before: Campaign) -> None:
    ways = "Attach to it with `--wf-sweep=resume`, or end it with `wf sweep-stop`."
    if before.project != settings.project:
        ways = "It is of project %s: wait for its end, or set another OPS_REMOTE_OUTPUTS_DIR." % (
            before.project or "unknown"
        )
    raise Refusal(
        "sweep-running",
        "campaign %s" % before.running,
        ways,
        {
            "campaign_id": before.campaign_id,
            "created_at": before.created_at,
            "age_s": before.age_s,
        },
    )
