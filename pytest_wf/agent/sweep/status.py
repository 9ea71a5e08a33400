"""A campaign's status in one pass over its rows, and the long poll on it.

Row states: pending, running, success, failed, timed_out, stopped, dry_run; lost, where
nobody works on a row that has not ended; unreadable, which is neither success nor failure.
"""

import os
import time
from typing import Any, Dict, List, Optional, Set, Tuple

from pytest_wf.agent.control import clock, frozen_campaign, locks, state
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.run_dir import RowDir, Unreadable, read_object
from pytest_wf.wire import fsm
from pytest_wf.wire.files import canonical_json, sha256_bytes
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row
from pytest_wf.wire.states import ROW_ENDED, ROW_FAILED, ROW_IN_PROGRESS

#: The longest that one poll waits for news. Its pauses between two looks grow up to `LOOK_S`,
#: and beyond where a look takes long.
MAX_WAIT_S = 5.0
LOOK_S = 0.2

# summaries do not change once written: one read each, as long as this process lives
_summaries: Dict[str, Tuple[Tuple[int, int, int], Dict[str, Any]]] = {}


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
        body = status_of(found)
        spent_s = time.monotonic() - began
        pause_s = max(min(LOOK_S, 0.02 + (began - asked) / 10), 5 * spent_s)
        if body["seen"] != args.get("seen") or time.monotonic() + pause_s > deadline:
            return body
        time.sleep(pause_s)


def status_of(found: Campaign) -> Dict[str, Any]:
    """The status of a campaign, with the pod's state set right where it lags behind."""
    supervisor = frozen_campaign.supervision(found)
    rows, runner_lives = _rows(found, supervisor)
    pod_state, pod_reason = _settle(found, rows, runner_lives)
    counts = count(rows)
    body: Dict[str, Any] = {
        "campaign_id": found.campaign_id,
        "created_at": found.created_at,
        "flow_id": found.flow_id,
        "git_sha": found.git_sha,
        "dry_run": found.dry_run,
        "manifest_sha256": found.manifest_sha256,
        "supervisor": supervisor,
        "state": pod_state,
        "reason": _waits(found, supervisor) or pod_reason,
        "attach": attach(found),
        "rows": rows,
    }
    body.update(counts)
    body["seen"] = sha256_bytes(canonical_json(body))
    # for times that rows have run so far; no news by itself
    body["now"] = clock.now()
    return body


def count(rows: List[Dict[str, Any]]) -> Dict[str, int]:
    """The figures of one status line. Dry rows are in the total alone: nothing was run."""
    states = [row["state"] for row in rows]
    return {
        "total": len(rows),
        "ok": states.count("success"),
        "failed": sum(1 for s in states if s in ROW_FAILED),
        "in_progress": sum(1 for s in states if s in ROW_IN_PROGRESS),
        "missing_dir": states.count("pending"),
        "parse_error": states.count("unreadable"),
    }


def reconcile(settings: Settings) -> None:
    """Move the pod from SWEEP_RUNNING where its campaign has ended or nobody carries it."""
    found = frozen_campaign.latest(settings)
    if found is not None and state.read_state(settings).state == fsm.SWEEP_RUNNING:
        status_of(found)


def settle(found: Campaign) -> None:
    """As `reconcile`, for one that holds the campaigns' lock and knows that nobody works."""
    rows, _ = _rows(found, frozen_campaign.supervision(found))
    _move_on(found, rows)


def attach(found: Campaign) -> Optional[str]:
    """The command that shows the live log; None where attaching is not possible."""
    tmux = frozen_campaign.supervisor_of(found).get("tmux")
    if not isinstance(tmux, dict) or frozen_campaign.supervision(found) != "alive":
        return None
    return "tmux -L %s attach -t =%s" % (tmux.get("socket"), tmux.get("session"))


def row_status(here: RowDir, supervisor: str, exists: bool) -> Dict[str, Any]:
    """One row's state, read from its own directory."""
    try:
        if here.row.adopted_from:
            return _adopted(here)
        if not exists:
            return _shown(here.row, "pending")
        summary = _summary(here.summary_path)
        if (
            summary is not None
            and summary.get("campaign_id") == here.campaign.campaign_id
            and here.is_at_rest(summary)
        ):
            return _ended(here.row, summary)
        return _under_way(here, supervisor)
    except Unreadable as e:
        return dict(_shown(here.row, "unreadable"), reason=str(e))


def _rows(found: Campaign, supervisor: str) -> Tuple[List[Dict[str, Any]], bool]:
    existing = _directories(found.settings.outputs)
    rows = []
    runner_lives = False
    for row in sorted(found.rows, key=lambda r: r.index):
        shown = row_status(RowDir(found, row), supervisor, row.run_id in existing)
        runner_lives = runner_lives or shown.pop("runner_lives", False)
        rows.append(shown)
    return rows, runner_lives


def _adopted(here: RowDir) -> Dict[str, Any]:
    summary = _summary(here.summary_path)
    if summary is None or summary.get("campaign_id") != here.row.adopted_from:
        raise Unreadable("the adopted result of %s is gone" % here.row.adopted_from)
    return _ended(here.row, summary)


def _under_way(here: RowDir, supervisor: str) -> Dict[str, Any]:
    """A row that has a directory and has not ended."""
    number = here.last
    if number == 0 or here.is_judged(number):
        return _shown(here.row, "pending", attempts=number)
    status = read_object(here.attempt(number, "status.json")) or {}
    alive = here.runner_lives(number)
    shown = _shown(
        here.row,
        "running" if alive or supervisor == "alive" else "lost",
        attempts=number,
        started_at=status.get("started_at"),
        progress=status.get("progress"),
        live=status.get("live") if alive else None,
        gpus=status.get("gpus"),
    )
    if shown["state"] == "lost":
        shown["reason"] = "nobody works on it; resume the campaign"
    shown["runner_lives"] = alive
    return shown


def _ended(row: Row, summary: Dict[str, Any]) -> Dict[str, Any]:
    row_state = summary.get("state")
    if row_state not in ROW_ENDED or (row_state == "success") != (summary.get("ok") is True):
        raise Unreadable("summary.json contradicts itself: state %r" % (row_state,))
    attempts = summary.get("attempts")
    if isinstance(attempts, bool) or not isinstance(attempts, int):
        raise Unreadable("summary.json does not count its attempts")
    metrics = summary.get("metrics")
    return _shown(
        row,
        row_state,
        attempts=attempts,
        ok=summary.get("ok") is True,
        exit_code=summary.get("exit_code"),
        failure_class=summary.get("failure_class"),
        reason=summary.get("reason"),
        started_at=summary.get("started_at"),
        finished_at=summary.get("finished_at"),
        duration_s=summary.get("duration_s"),
        metrics=metrics if isinstance(metrics, dict) else {},
        gpus=summary.get("gpus"),
    )


def _shown(row: Row, row_state: str, attempts: int = 0, **known: Any) -> Dict[str, Any]:
    shown: Dict[str, Any] = {
        "run_id": row.run_id,
        "index": row.index,
        "state": row_state,
        "ok": None,
        "attempts": attempts,
        "exit_code": None,
        "failure_class": None,
        "reason": None,
        "started_at": None,
        "finished_at": None,
        "duration_s": None,
        "progress": None,
        "live": None,
        "metrics": {},
        "gpus": None,
        "adopted_from": row.adopted_from,
        "expect": row.expect,
    }
    shown.update(known)
    return shown


def _summary(path: str) -> Optional[Dict[str, Any]]:
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    stamp = (info.st_mtime_ns, info.st_ino, info.st_size)
    known = _summaries.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    found = read_object(path)
    if found is not None:
        _summaries[path] = (stamp, found)
    return found


def _settle(found: Campaign, rows: List[Dict[str, Any]], runner_lives: bool) -> Tuple[str, str]:
    """The pod's state; SWEEP_RUNNING does not outlive those who run the sweep."""
    settings = found.settings
    now = state.read_state(settings)
    if (
        now.state != fsm.SWEEP_RUNNING
        or runner_lives
        or frozen_campaign.supervision(found) == "alive"
    ):
        return now.state, now.reason
    # whoever starts or stops a campaign holds this, and sets the state itself
    lock = locks.try_lock(found.lock_path)
    if lock is None:
        return now.state, now.reason
    try:
        return _move_on(found, rows)
    finally:
        os.close(lock)


def _move_on(found: Campaign, rows: List[Dict[str, Any]]) -> Tuple[str, str]:
    settings = found.settings
    now = state.read_state(settings)
    latest = frozen_campaign.latest(settings)
    if (
        now.state != fsm.SWEEP_RUNNING
        or frozen_campaign.supervision(found) == "alive"
        or latest is None
        or latest.campaign_id != found.campaign_id
    ):
        return now.state, now.reason
    if any(row["state"] == "stopped" for row in rows):
        to, reason = fsm.SWEEP_STALLED, "stopped by request"
    elif all(row["state"] in ROW_ENDED for row in rows):
        to, reason = fsm.SWEEP_COMPLETED, "every row of the campaign has ended"
    else:
        to, reason = fsm.SWEEP_STALLED, "the campaign's supervisor is gone"
    try:
        moved = state.move(settings, "sweep-end", to, reason, found.flow_id)
    except Refusal:
        moved = state.read_state(settings)
    except OSError:
        return to, reason  # a pod that cannot be written to is told right all the same
    return moved.state, moved.reason


def _waits(found: Campaign, supervisor: str) -> Optional[str]:
    """What the next row waits for, other than its turn."""
    waits = frozen_campaign.supervisor_of(found).get("waits") if supervisor == "alive" else None
    return waits if isinstance(waits, str) else None


def _directories(root: str) -> Set[str]:
    try:
        return {entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()
