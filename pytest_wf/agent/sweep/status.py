"""A campaign's status in one pass over its rows, and the long poll on it."""

import os
import time
from typing import Dict, List, Optional, Set, Tuple

from pytest_wf.agent.control import clock, frozen_campaign, launches, locks, state
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.run_dir import RowDir, Unreadable, read_object, read_result
from pytest_wf.agent.sweep import snapshot
from pytest_wf.wire import fsm
from pytest_wf.wire.files import canonical_json, sha256_bytes
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import CampaignStatus, Malformed, Row, RowStatus, RunResult
from pytest_wf.wire.states import (
    LOST,
    NOT_SELECTED,
    PENDING,
    ROW_SETTLED,
    RUNNING,
    STOPPED,
    SUPERVISOR_ALIVE,
    UNREADABLE,
)

#: The longest that one poll waits for news. Its pauses between two looks grow up to `LOOK_S`,
#: and beyond where a look takes long.
MAX_WAIT_S = 5.0
LOOK_S = 0.2

#: Extremes of metrics, each about 100 bytes, that one answer holds.
MAX_EXTREMES = 50_000

# summaries do not change once written: one read each, as long as this process lives
_results: Dict[str, Tuple[Tuple[int, int, int], RunResult]] = {}


def campaign(session: Session, args: Args) -> Result:
    """Operation `campaign`: ``{campaign_id?, seen?, wait_s?}``; the latest one by default.

    With `wait_s` the answer comes when its digest is no longer `seen`, or the time is up.
    """
    wait_s = args.get("wait_s") or 0
    if isinstance(wait_s, bool) or not isinstance(wait_s, (int, float)):
        raise Refusal("agent-broken", "wait_s is not a number of seconds")
    asked = time.monotonic()
    deadline = asked + min(float(wait_s), MAX_WAIT_S)
    while True:
        began = time.monotonic()
        wanted = args.get("campaign_id")
        found = frozen_campaign.find(session.settings, None if wanted is None else str(wanted))
        status = status_of(found)
        spent_s = time.monotonic() - began
        pause_s = max(min(LOOK_S, 0.02 + (began - asked) / 10), 5 * spent_s)
        if status.seen != args.get("seen") or time.monotonic() + pause_s > deadline:
            return status.as_json()
        time.sleep(pause_s)


def status_of(found: Campaign) -> CampaignStatus:
    """The status of a campaign, with the pod's state set right where it lags behind."""
    supervisor = frozen_campaign.supervision(found)
    rows, runner_lives = _rows(found, supervisor)
    rows = _bounded(found, rows)
    pod_state, pod_reason = _settle(found, rows, runner_lives)
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
        rows=rows,
        stopped=_is_stopped(found),
    )
    seen = sha256_bytes(canonical_json(status.as_json()))
    return status._replace(seen=seen, now=clock.now())


def reconcile(settings: Settings) -> None:
    """Move the pod from SWEEP_RUNNING where its campaign has ended or no process works on it."""
    found = frozen_campaign.latest(settings)
    if found is not None and state.read_state(settings).state == fsm.SWEEP_RUNNING:
        status_of(found)


def settle(found: Campaign) -> None:
    """As `reconcile`, for a caller that holds the campaigns' lock where no process works."""
    rows, _ = _rows(found, frozen_campaign.supervision(found))
    _move_on(found, rows)


def attach(found: Campaign) -> Optional[str]:
    """The command that shows the live log; None where attaching is not possible."""
    tmux = frozen_campaign.supervisor_of(found).get("tmux")
    if not isinstance(tmux, dict) or not frozen_campaign.is_supervised(found):
        return None
    return "tmux -L %s attach -t =%s" % (tmux.get("socket"), tmux.get("session"))


def row_status(here: RowDir, supervisor: str, exists: bool) -> Tuple[RowStatus, bool]:
    """One row's status, read from its own directory; and whether its runner is at work."""
    row = here.row
    known = RowStatus(
        row.run_id, PENDING, row.index, adopted_from=row.adopted_from, expect=row.expect
    )
    try:
        if row.adopted_from:
            return known.ended(_adopted(here)), False
        if not exists:
            return known, False
        result = _result(here.summary_path, here.campaign.campaign_id)
        if result is not None and here.is_at_rest(result):
            return known.ended(result), False
        return _under_way(here, known, supervisor)
    except (OSError, Unreadable, Malformed) as e:
        return known._replace(state=UNREADABLE, reason=str(e)), False


def _rows(found: Campaign, supervisor: str) -> Tuple[List[RowStatus], bool]:
    existing = _directories(found.settings.outputs)
    taken = launches.selected(found)
    seen = [
        row_status(RowDir(found, row), supervisor, row.run_id in existing)
        if taken is None or row.run_id in taken or row.adopted_from
        else (_not_selected(row), False)
        for row in sorted(found.rows, key=lambda r: r.index)
    ]
    return [status for status, _ in seen], any(runner_lives for _, runner_lives in seen)


def _not_selected(row: Row) -> RowStatus:
    """The status of a row that no launch took; what is in its directory is another campaign's."""
    return RowStatus(row.run_id, NOT_SELECTED, row.index, expect=row.expect)


def _bounded(found: Campaign, rows: List[RowStatus]) -> List[RowStatus]:
    """The rows with no more extremes and sources than an answer may hold: conditions' first, then
    losses'.

    ``summary.json`` has all of them.
    """
    most = max(8, MAX_EXTREMES // (len(rows) or 1))
    general = found.settings["WF_EXPECT"]

    def bounded(row: RowStatus) -> RowStatus:
        if len(row.extremes) <= most:
            return row
        asked = (general + row.expect).casefold()
        order = sorted(
            row.extremes, key=lambda name: (name.casefold() not in asked, "loss" not in name, name)
        )
        kept = order[:most]
        return row._replace(
            extremes={name: row.extremes[name] for name in kept},
            sources={name: row.sources[name] for name in kept if name in row.sources},
        )

    return [bounded(row) for row in rows]


def _adopted(here: RowDir) -> RunResult:
    result = _result(here.summary_path, here.row.adopted_from)
    if result is None:
        raise Unreadable("the adopted result of %s is gone" % here.row.adopted_from)
    return result


def _under_way(here: RowDir, known: RowStatus, supervisor: str) -> Tuple[RowStatus, bool]:
    """A row that has a directory and has not ended."""
    number = here.last
    known = known._replace(attempts=number)
    if number == 0 or here.is_judged(number):
        return known, False
    told = read_object(here.attempt(number, "status.json")) or {}
    alive = here.runner_lives(number)
    is_carried = alive or supervisor == SUPERVISOR_ALIVE
    shown = dict(
        known.as_json(),
        state=RUNNING if is_carried else LOST,
        reason=None if is_carried else "no process works on it; resume the campaign",
        live=told.get("live") if alive else None,
        **{key: told.get(key) for key in ("started_at", "progress", "gpus", "resumed_from")},
    )
    return RowStatus.from_json(shown), alive


def _result(path: str, campaign_id: Optional[str]) -> Optional[RunResult]:
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    stamp = (info.st_mtime_ns, info.st_ino, info.st_size)
    known = _results.get(path)
    if known is not None and known[0] == stamp and known[1].campaign_id == campaign_id:
        return known[1]
    found = read_result(path, campaign_id)
    if found is not None:
        _results[path] = (stamp, found)
    return found


def _settle(found: Campaign, rows: List[RowStatus], runner_lives: bool) -> Tuple[str, str]:
    """The pod's state; SWEEP_RUNNING does not outlive those who run the sweep."""
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
        to, reason = fsm.SWEEP_STALLED, "the campaign's supervisor is gone"
    try:
        moved = state.move(settings, "sweep-end", to, reason, found.flow_id)
    except Refusal:
        moved = state.read_state(settings)
    except OSError:
        return to, reason  # reported, although it cannot be written
    return moved.state, moved.reason


def _is_stopped(found: Campaign) -> bool:
    return os.path.exists(found.stop_path)


def _waits(found: Campaign, supervisor: str) -> Optional[str]:
    """What the next row waits for, other than its turn."""
    if supervisor != SUPERVISOR_ALIVE:
        return None
    waits = frozen_campaign.supervisor_of(found).get("waits")
    return waits if isinstance(waits, str) else None


def _directories(root: str) -> Set[str]:
    try:
        return {entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()
