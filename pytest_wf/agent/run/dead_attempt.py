"""The result of an attempt whose runner is gone without having written one.

What the runner had recorded counts: its reason to end the trainer, the trainer's exit status, a
summary. A training that ended well is not repeated because its runner died after it.
"""

import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from pytest_wf.agent import process
from pytest_wf.agent.run import exit_status, failure_class, mirror
from pytest_wf.agent.run.child_process import shell_status
from pytest_wf.agent.run.exit_status import Exit
from pytest_wf.agent.run.run_dir import HARMED, JUDGED, RowDir, Unreadable, read_object
from pytest_wf.wire.files import write_json
from pytest_wf.wire.process import boot_id
from pytest_wf.wire.rows import SCHEMA, Note, RunResult
from pytest_wf.wire.states import FAILED, SUCCESS

if TYPE_CHECKING:
    from pytest_wf.agent.run.metrics.merge import MergedValues

_DIED = Note("runner-died", "written by the supervisor because the runner died")
_TAIL_BYTES = 256 * 1024


def exit_of(here: RowDir, number: int) -> Optional[Exit]:
    """How the trainer ended by itself; None if that is not known.

    Call this before any process of the attempt is ended: an ended process did not end by itself.
    """
    folder = here.attempt(number)
    process.wait_for_threads(here.handle(number) or {})
    found = exit_status.read(folder)
    if found is not None:
        return found
    pid = _status(here, number).get("pid")
    status = process.orphan_status(pid) if isinstance(pid, int) else None
    if status is None:
        return None
    exit_status.write(folder, status, _ending_of_orphan(here, number, status))
    process.reap_orphans()
    return exit_status.read(folder)


def _ending_of_orphan(here: RowDir, number: int, status: int) -> Optional[Dict[str, Any]]:
    """Why a trainer failed that outlived its runner; None if its own end explains that.

    Its log was no longer read, which may itself be the cause: the failure is not called its own.
    """
    if status == 0 or _cause(here, number, status).failure_class != "user":
        return None
    shown = shell_status(status)
    reason = "the runner was killed, and the trainer ended with status %d after it" % shown
    return _failed("killed", reason)


def record(here: RowDir, number: int, exited: Optional[Exit], left: List[int]) -> Dict[str, Any]:
    """Write the result. `exited` is what `exit_of` said, `left` the pids that still run."""
    status, summary = _status(here, number), _summary(here, number)
    resumed = status.get("resumed_from")  # of a file that the trainer may have changed
    unmirrored = _bring_home(here)
    notes = [_DIED]
    if here.restore(number):
        notes.append(Note("run-dir-harmed", HARMED))
    if unmirrored:
        notes.append(Note("mirror", "its files could not be mirrored: %s" % unmirrored))
    result = {
        "schema": SCHEMA,
        "run_id": here.row.run_id,
        "campaign_id": here.campaign.campaign_id,
        "attempt": number,
        "exit_code": None if exited is None else shell_status(exited.status),
        "signal": -exited.status if exited is not None and exited.status < 0 else None,
        "started_at": status.get("started_at"),
        "finished_at": None if exited is None else exited.ended_at,
        "duration_s": None,
        "metrics": status.get("progress") or {},
        "extremes": {},
        "sources": {},
        "gpus": status.get("gpus"),
        "resumed_from": resumed if isinstance(resumed, str) else None,
        "left": left,
    }
    if summary is not None:
        known = summary.as_json()
        result.update((key, known[key]) for key in JUDGED)
    else:
        result.update(_judged(here, number, exited, status))
        if exited is not None:
            from pytest_wf.agent.run import findings  # see `_metrics`

            values = _metrics(here, number)
            result["metrics"] = values.summary()
            result["extremes"] = {name: e.as_json() for name, e in values.extremes().items()}
            result["sources"] = values.sources
            settings, run_id = here.campaign.settings, here.row.run_id
            folders = (settings.out_dir(run_id), settings.trackers_dir(run_id))
            notes += findings.notes_on(values, folders, result["state"] == SUCCESS)
        result["notes"] = [note.as_json() for note in notes]
    if unmirrored and result["state"] == SUCCESS:
        reason = "its results could not be mirrored: %s" % unmirrored
        result.update(_failed(mirror.failure_class(unmirrored), reason))
    write_json(here.attempt(number, "result.json"), result)
    return result


def _judged(
    here: RowDir, number: int, exited: Optional[Exit], status: Dict[str, Any]
) -> Dict[str, Any]:
    """State, class and reason, from what the runner left."""
    handle = here.handle(number)
    if handle is None:
        return _failed("killed", "the runner was never acknowledged by its supervisor")
    ending = (exited.ending if exited is not None else None) or status.get("ending")
    if isinstance(ending, dict):
        judged = _failed(str(ending["failure_class"]), str(ending["reason"]))
        return dict(judged, state=str(ending["state"]))
    if exited is not None and exited.status == 0:
        return {"state": SUCCESS, "failure_class": None, "reason": None}
    if exited is not None:
        return _failed(*_cause(here, number, exited.status))
    if handle.get("boot_id", boot_id()) != boot_id():
        return _failed("preempted", "the pod was restarted")
    return _failed("killed", "the runner was killed")


def _cause(here: RowDir, number: int, status: int) -> failure_class.Cause:
    ended_by = -status if status < 0 else None
    return failure_class.classify(shell_status(status), ended_by, _log_tail(here, number))


def _failed(name: str, reason: str) -> Dict[str, Any]:
    return {"state": FAILED, "failure_class": name, "reason": reason}


def _bring_home(here: RowDir) -> str:
    """Mirror the last results, if runs are mirrored; why that failed, or ''."""
    if not mirror.is_used(here.campaign.settings):
        return ""
    return mirror.Mirror(here.campaign, here.row).copy(is_last=True) or ""


def _metrics(here: RowDir, number: int) -> "MergedValues":
    """The metrics, read once more: the runner may have died before it read the last ones."""
    # imported here: they take a third of the start of a server, which rarely needs them
    from pytest_wf.agent.run.metrics.out_files import FOUND_BEFORE
    from pytest_wf.agent.run.metrics.record import MetricsRecord
    from pytest_wf.agent.run.metrics.sources import RunMetrics

    found = MetricsRecord(here.metrics_path, number)
    found.begin()
    settings = here.campaign.settings
    out_dir = settings.out_dir(here.row.run_id)
    metrics = RunMetrics(out_dir, found, log_pattern=settings.log_pattern)
    metrics.files.begun(here.attempt(number, FOUND_BEFORE))
    try:
        with open(here.attempt(number, "stdout.log"), encoding="utf-8", errors="replace") as log:
            for line in log:
                metrics.take_log(failure_class.TIMESTAMP.sub("", line.rstrip("\n")))
    except OSError:
        pass  # the trainer may have removed it
    metrics.finish()
    return metrics.values


def _log_tail(here: RowDir, number: int) -> List[str]:
    try:
        with open(here.attempt(number, "stdout.log"), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL_BYTES))
            return log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _summary(here: RowDir, number: int) -> Optional[RunResult]:
    """The row's summary, if the runner wrote it before it died."""
    try:
        summary = here.summary()
    except Unreadable:
        return None
    return summary if summary is not None and summary.attempts == number else None


def _status(here: RowDir, number: int) -> Dict[str, Any]:
    try:
        return read_object(here.attempt(number, "status.json")) or {}
    except Unreadable:
        return {}
