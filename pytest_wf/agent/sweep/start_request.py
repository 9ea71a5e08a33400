"""What a start asks for, checked against the pod before anything of it begins."""

from typing import List, NamedTuple, Optional

from pytest_wf.agent.control import frozen_campaign, journal, launches, state
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.launches import Launch
from pytest_wf.agent.control.request import Args
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.sweep import existing_runs, launch, leftovers, snapshot, status
from pytest_wf.agent.sweep.existing_runs import Plan, Wish
from pytest_wf.agent.sweep.resume import restore_summary
from pytest_wf.wire import fsm
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
    planned: Plan

    @property
    def first_trained(self) -> Optional[Row]:
        """The first row that it trains; None where it adopts all that it launches."""
        taken = self.first.rows(self.planned.rows)
        return next((row for row in taken if not row.adopted_from), None)


def checked(settings: Settings, args: Args, before: Optional[Campaign]) -> StartRequest:
    """The start that `args` of the operation ask for, `before` being the latest campaign.

    Refusals: 'sweep-running', 'run-exists', 'run-differs', 'illegal-state', 'manifest', 'launch'.
    """
    _refuse_while_one_runs(settings, before)
    state.require(settings, "sweep-start")
    rows, csv = launch.manifest_of(args)
    launch.require_own_names(settings, rows)
    first = launches.asked_for(args, rows, settings.flag("SWEEP_FAIL_FAST"))
    launch.refuse_without_means(settings, first.rows(rows))
    launch.refuse_without_trainer(settings)
    git_sha = launch.commit_of(settings, args)
    for row in rows:
        restore_summary(settings, row.run_id)
    planned = existing_runs.plan(settings, rows, Wish.of(args, git_sha))
    return StartRequest(rows, csv, git_sha, first, planned)


def settled(campaign: Campaign) -> snapshot.Snapshot:
    """The campaign as it is now; a supervisor whose rows have all ended is waited for.

    It has only its end to write. Whoever attached to it would not run its failed rows again.
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
        reason = "nothing runs of the campaign, and its record cannot be read"
        state.move(settings, "sweep-end", fsm.SWEEP_STALLED, reason)


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
