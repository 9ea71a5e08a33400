"""A campaign's status, and the long poll on it."""

import os
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

from pytest_wf.agent.control import clock, frozen_campaign, locks, state
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.folder_watch import FolderWatch
from pytest_wf.agent.sweep import snapshot
from pytest_wf.agent.sweep.cluster import queued
from pytest_wf.agent.sweep.rows import changed_rows
from pytest_wf.agent.sweep.rows.seen_rows import SeenRows
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import CampaignStatus, RowStatus
from pytest_wf.wire.states import OTHER_POD, ROW_SETTLED, STOPPED, SUPERVISOR_ALIVE, count

#: The longest that one poll waits for news.
MAX_WAIT_S = 5.0
#: Seconds between two looks while no watched file changes. If files cannot be watched, the pauses
#: grow up to `BLIND_LOOK_S`, and further if a look takes long.
LOOK_S = 0.5
BLIND_LOOK_S = 0.2
#: Rows that began, and rates of running rows, count as news after a poll has waited so long.
RATES_S = 1.0
#: The files of a campaign's folder that change when there may be news.
_WATCHED = (changed_rows.NAME, "supervisor.json", "stop")

# what this process has read of the campaign that it was asked about last, by its directory
_seen: Dict[str, SeenRows] = {}
_looking = threading.Lock()


def campaign(session: Session, args: Args) -> Result:
    """Operation `campaign`: ``{campaign_id?, seen?, wait_s?, changes?, own?}``; the latest by
    default.

    With `wait_s` the answer comes when its version is no longer `seen`, or the time is up. With
    `changes` it has the rows that changed since the version `seen`, and names that as `since`;
    all rows if that version is no longer known. With `own`, these leave out the rows of other
    pods.
    """
    wait_s = args.get("wait_s") or 0
    if isinstance(wait_s, bool) or not isinstance(wait_s, (int, float)):
        raise Refusal("agent-broken", "wait_s is not a number of seconds")
    wanted = args.get("campaign_id")
    found = frozen_campaign.find(session.settings, None if wanted is None else str(wanted))
    watch = FolderWatch(found.folder, _WATCHED) if wait_s else None
    try:
        return _poll(found, args, min(float(wait_s), MAX_WAIT_S), watch)
    finally:
        if watch is not None:
            watch.close()


def _poll(found: Campaign, args: Args, wait_s: float, watch: Optional[FolderWatch]) -> Result:
    """The answer, once there is news beyond the version `seen` or the time is up."""
    asked, seen = time.monotonic(), args.get("seen")
    while True:
        began = time.monotonic()
        with _looking:
            rows = _rows_of(found, seen)
            status = _look(found, rows)
            changed = rows.changes_since(seen)
            is_news = status.seen != seen and rows.is_news(seen, status.seen)
        now = time.monotonic()
        is_news = is_news or (status.seen != seen and now - asked >= RATES_S)
        if is_news or watch is None or now >= asked + wait_s:
            if changed is not None and args.get("changes") is True:
                status = status._replace(rows=changed, since=str(seen))
            elif args.get("own") is True:
                own = [row for row in status.rows if row.state != OTHER_POD]
                status = status._replace(rows=own)
            return dict(status.as_json(), **count(rows.states))
        blind_s = max(min(BLIND_LOOK_S, 0.02 + (began - asked) / 10), 5 * (now - began))
        pause_s = LOOK_S if watch.is_watching else blind_s
        watch.wait(min(pause_s, asked + wait_s - now))


def _rows_of(found: Campaign, seen: Any) -> SeenRows:
    """The rows as read so far, for a version that this process gave out; else none."""
    known = _seen.get(found.folder)
    if known is None or known.changes_since(seen) is None:
        known = SeenRows(found)
        _seen.clear()
        _seen[found.folder] = known
    return known


def status_of(found: Campaign) -> CampaignStatus:
    """The status of a campaign, with the pod's state corrected if it lags behind."""
    return _look(found, SeenRows(found))


def _look(found: Campaign, rows: SeenRows) -> CampaignStatus:
    queued.reconcile(found)
    supervisor = frozen_campaign.supervision(found)
    is_any_alive = rows.look(supervisor)
    pod_state, pod_reason = _settle(found, rows.statuses, is_any_alive)
    status = CampaignStatus(
        campaign_id=found.campaign_id,
        created_at=found.created_at,
        flow_id=found.flow_id,
        git_sha=found.git_sha,
        dry_run=found.dry_run,
        manifest_sha256=found.manifest_sha256,
        supervisor=supervisor,
        state=pod_state,
        reason=_waits(found, supervisor) or pod_reason,
        attach=attach(found),
        rows=list(rows.statuses),
        stopped=_is_stopped(found),
        ceiling=_ceiling(found),
    )
    return status._replace(seen=rows.version(status), now=clock.now())


def reconcile(settings: Settings) -> None:
    """Move the pod from SWEEP_RUNNING if its campaign has ended or no process works on it."""
    found = frozen_campaign.latest(settings)
    if found is not None and state.read_state(settings).state == fsm.SWEEP_RUNNING:
        status_of(found)


def state_now(settings: Settings) -> str:
    """The pod's state after `reconcile`, which a sweep with a living supervisor does not need."""
    now = state.read_state(settings)
    if now.state != fsm.SWEEP_RUNNING:
        return now.state
    found = frozen_campaign.latest(settings)
    if found is None or frozen_campaign.is_supervised(found):
        return now.state
    return status_of(found).state


def settle(found: Campaign) -> None:
    """As `reconcile`, for a caller that holds the campaigns' lock while no process works."""
    queued.reconcile(found)
    rows = SeenRows(found)
    rows.look(frozen_campaign.supervision(found))
    _move_on(found, rows.statuses)


def attach(found: Campaign) -> Optional[str]:
    """The command that shows the live log; None if attaching is not possible."""
    tmux = frozen_campaign.supervisor_of(found).get("tmux")
    if not isinstance(tmux, dict) or not frozen_campaign.is_supervised(found):
        return None
    return "tmux -L %s attach -t =%s" % (tmux.get("socket"), tmux.get("session"))


def _settle(found: Campaign, rows: List[RowStatus], runner_lives: bool) -> Tuple[str, str]:
    """The pod's state; SWEEP_RUNNING does not outlive the processes of the sweep."""
    settings = found.settings
    now = state.read_state(settings)
    if now.state != fsm.SWEEP_RUNNING or runner_lives or frozen_campaign.is_supervised(found):
        return now.state, now.reason
    # whoever starts or stops a campaign holds this, and sets the state itself
    lock = locks.try_lock(found.lock_path)
    if lock is None:
        return now.state, now.reason
    try:
        return _move_on(found, rows)
    finally:
        os.close(lock)


def _move_on(found: Campaign, rows: List[RowStatus]) -> Tuple[str, str]:
    settings = found.settings
    now = state.read_state(settings)
    latest = frozen_campaign.latest(settings)
    if (
        now.state != fsm.SWEEP_RUNNING
        or frozen_campaign.is_supervised(found)
        or latest is None
        or latest.campaign_id != found.campaign_id
    ):
        return now.state, now.reason
    was_stopped = any(row.state == STOPPED for row in rows)
    if not was_stopped and all(row.state in ROW_SETTLED for row in rows):
        to, reason = snapshot.rest(found)
    elif was_stopped or _is_stopped(found):
        to, reason = fsm.SWEEP_STALLED, "stopped by the user"
    else:
        reason = queued.reason(found) or "the campaign's supervisor is gone"
        to = fsm.SWEEP_STALLED
    try:
        moved = state.move(settings, "sweep-end", to, reason, found.flow_id)
    except Refusal:
        moved = state.read_state(settings)
    except OSError:
        return to, reason  # reported, although it cannot be written
    return moved.state, moved.reason


def _is_stopped(found: Campaign) -> bool:
    return os.path.exists(found.stop_path)


def _ceiling(found: Campaign) -> str:
    """The ceiling on costs that was reached, so that no further row begins; '' if none."""
    name = frozen_campaign.supervisor_of(found).get("ceiling")
    return name if isinstance(name, str) else ""


def _waits(found: Campaign, supervisor: str) -> Optional[str]:
    """What the next row waits for, other than its turn."""
    if supervisor != SUPERVISOR_ALIVE:
        return None
    waits = frozen_campaign.supervisor_of(found).get("waits")
    return waits if isinstance(waits, str) else None
