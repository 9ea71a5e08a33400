"""Ends the supervisor and the running rows of a campaign."""

from typing import List

from pytest_wf.agent import process
from pytest_wf.agent.control import frozen_campaign, journal
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.sweep import snapshot
from pytest_wf.agent.sweep.cluster import queued
from pytest_wf.agent.sweep.resume import final_result
from pytest_wf.agent.wakeup import wake
from pytest_wf.wire.files import write_atomic

#: Seconds that stopping may take beyond the grace of running attempts.
STOP_S = 30.0


def end_all(campaign: Campaign) -> List[int]:
    """Request a stop, wait, then kill; the pids that could not be ended."""
    queue = queued.queue_of(campaign)
    if queue is not None:
        return queued.stop(campaign, queue)
    # the request first: an attempt that begins later sees it
    write_atomic(campaign.stop_path, b"")
    running = snapshot.take(campaign).running
    for here, number in running:
        write_atomic(here.attempt(number, "stop"), b"")
    grace_s = campaign.settings.kill_grace_s
    supervisor = frozen_campaign.supervisor_of(campaign)

    wake(supervisor)

    def is_over() -> bool:
        if frozen_campaign.is_supervised(campaign):
            return False
        return not any(here.runner_lives(number) for here, number in running)

    journal.wait_until(is_over, grace_s + STOP_S, 0.05)
    leftovers: List[int] = []
    if not is_over():
        leftovers += process.kill_tree("", supervisor, 1.0)
    # the supervisor may have begun an attempt between our look and its own
    executor = executor_of(campaign.settings)
    for here, number in [*running, *snapshot.take(campaign).running]:
        leftovers += executor.cancel(here.cookie(number), here.handle(number), 1.0)
    for here, number in running:
        if snapshot.is_open(campaign, here.row):
            # the supervisor is gone and will not judge it
            here.end(final_result(here, number))
    return sorted(set(leftovers))
