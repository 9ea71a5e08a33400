"""The status of one row of a campaign, read from its run directory."""

import os
from typing import Any, Dict, Optional, Tuple

from pytest_wf.agent.control.shard import Shard
from pytest_wf.agent.run.executor import Word
from pytest_wf.agent.run.run_dir import RowDir, Unreadable, read_object, read_result
from pytest_wf.wire.rows import Malformed, Row, RowStatus, RunResult
from pytest_wf.wire.states import (
    LOST,
    NOT_SELECTED,
    OTHER_POD,
    PENDING,
    RUNNING,
    SUPERVISOR_ALIVE,
    UNREADABLE,
)

# summaries do not change once written: a process reads each once
_results: Dict[str, Tuple[Tuple[int, int, int], RunResult]] = {}


def row_status(
    here: RowDir, supervisor: str, exists: bool, word: Optional[Word] = None
) -> Tuple[RowStatus, bool]:
    """One row's status, read from its own directory; and whether its runner is at work.

    `word` is what a queue says of it, if one runs it.
    """
    row = here.row
    known = RowStatus(
        row.run_id, PENDING, row.index, adopted_from=row.adopted_from, expect=row.expect
    )
    try:
        if row.adopted_from:
            return known.ended(_adopted(here)), False
        if not exists:
            return (known, False) if word is None else _queued(known, word, {})
        result = _result(here.summary_path, here.campaign.campaign_id)
        if result is not None and here.is_at_rest(result):
            return known.ended(result), False
        return _under_way(here, known, supervisor, word)
    except (OSError, Unreadable, Malformed) as e:
        return known._replace(state=UNREADABLE, reason=str(e)), False


def not_selected(row: Row) -> RowStatus:
    """The status of a row that no launch took; what is in its directory is another campaign's."""
    return RowStatus(row.run_id, NOT_SELECTED, row.index, expect=row.expect)


def of_other_pod(row: Row, known: Shard) -> RowStatus:
    """The status of a row that another pod trains, or of which no owner is known."""
    why = known.unreadable.get(row.run_id)
    state = UNREADABLE if why else OTHER_POD
    reason = why or "with %s" % known.owners[row.run_id].member
    return RowStatus(row.run_id, state, row.index, expect=row.expect, reason=reason)


def _adopted(here: RowDir) -> RunResult:
    result = _result(here.summary_path, here.row.adopted_from)
    if result is None:
        raise Unreadable("the adopted result of %s is gone" % here.row.adopted_from)
    return result


def _under_way(
    here: RowDir, known: RowStatus, supervisor: str, word: Optional[Word]
) -> Tuple[RowStatus, bool]:
    """A row that has a directory and has not ended."""
    number = here.last
    known = known._replace(attempts=number)
    if word is not None:
        news = here.attempt(number, "status.json")
        return _queued(known, word, _news(news, word.is_open) if number else {})
    if number == 0 or here.is_judged(number):
        return known, False
    alive = here.runner_lives(number)
    told = _news(here.attempt(number, "status.json"), alive)
    is_carried = alive or supervisor == SUPERVISOR_ALIVE
    shown = dict(
        known.as_json(),
        state=RUNNING if is_carried else LOST,
        reason=None if is_carried else "no process works on it; resume the campaign",
        live=told.get("live") if alive else None,
        **{key: told.get(key) for key in ("started_at", "progress", "gpus", "resumed_from")},
    )
    return RowStatus.from_json(shown), alive


def _news(path: str, alive: bool) -> Dict[str, Any]:
    try:
        return read_object(path) or {}
    except Unreadable:
        if alive:
            raise
        return {}  # news are not flushed: a power loss may leave an empty file


def _queued(known: RowStatus, word: Word, told: Dict[str, Any]) -> Tuple[RowStatus, bool]:
    """The status of a row that a queue has or had, by the queue's word."""
    state = word.state
    if not state and not known.attempts:
        state = PENDING
    elif not state:
        # the end of a job that is still listed is judged in a moment
        state = LOST if word.ended_s is None else RUNNING
    shown = dict(known.as_json(), state=state, reason=word.reason or None)
    if known.attempts:
        shown.update(
            (key, told.get(key)) for key in ("started_at", "progress", "gpus", "resumed_from")
        )
    if state == RUNNING and told.get("state") == RUNNING:
        shown["live"] = told.get("live")
    return RowStatus.from_json(shown), word.is_open


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
