"""Running processes of campaigns whose records cannot be read, found by what is on the pod.

A start and a stop look here when the latest campaign is not known for certain: a campaign that
cannot be read may be running all the same.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import control_files, frozen_campaign, locks
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results.logs import last_attempt
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.run.run_dir import Unreadable, read_object
from pytest_wf.agent.sweep.existing_runs import owner_of
from pytest_wf.wire import ids
from pytest_wf.wire.files import write_atomic


class Leftover(NamedTuple):
    """A supervisor or an attempt that is at work."""

    #: The campaign, 'unknown' if that is not known.
    campaign_id: str
    #: The run and its attempt; '' and 0 for a supervisor.
    run_id: str
    number: int
    #: What is known of the process; None if that is damaged.
    handle: Optional[Dict[str, Any]]


def find(settings: Settings) -> List[Leftover]:
    """Every supervisor and every attempt on the pod that is at work."""
    return [*_supervisors(settings), *_attempts(settings)]


def find_in_doubt(settings: Settings, latest: Optional[Campaign]) -> List[Leftover]:
    """As `find`, if it is not certain that `latest` is the latest campaign; else nothing."""
    return find(settings) if latest is None or control_files.findings() else []


def end(settings: Settings, found: List[Leftover]) -> List[int]:
    """End them, supervisors first; the pids that could not be ended."""
    left: List[int] = []
    executor, grace_s = executor_of(settings), settings.kill_grace_s
    for one in found:
        if one.run_id:
            left += executor.cancel(_cookie(one), one.handle, grace_s)
        else:
            # a supervisor without a recorded identity looks at this file
            write_atomic(os.path.join(settings.campaigns, one.campaign_id, "stop"), b"")
            left += process.kill_tree("", one.handle, 1.0)
    return sorted(set(left))


def _supervisors(settings: Settings) -> List[Leftover]:
    found = []
    for campaign_id in frozen_campaign.known_ids(settings):
        folder = os.path.join(settings.campaigns, campaign_id)
        known = _known(os.path.join(folder, "supervisor.json"))
        lives = known is not None and not known.get("ended_at") and process.is_alive(known)
        if lives or (not known and locks.is_held(os.path.join(folder, "supervisor.lock"))):
            found.append(Leftover(campaign_id, "", 0, known))
    return found


def _attempts(settings: Settings) -> List[Leftover]:
    found = []
    executor = executor_of(settings)
    for run_id in _run_ids(settings):
        path = settings.run_dir(run_id)
        number = last_attempt(path)
        attempt = os.path.join(path, "attempts", str(number))
        if not number or os.path.exists(os.path.join(attempt, "result.json")):
            continue  # its runner has nothing left to do
        known = _known(os.path.join(attempt, "pid.json"))
        one = Leftover(owner_of(path), run_id, number, known)
        if executor.is_alive(known) if known else process.holders(_cookie(one)):
            found.append(one)
    return found


def _run_ids(settings: Settings) -> List[str]:
    try:
        with os.scandir(settings.outputs) as entries:
            return sorted(
                e.name for e in entries if ids.is_id(e.name) and e.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return []


def _cookie(one: Leftover) -> str:
    return "%s.%s.%d" % (one.campaign_id, one.run_id, one.number)


def _known(path: str) -> Optional[Dict[str, Any]]:
    try:
        return read_object(path)
    except Unreadable:
        return None
