"""Slurm's words for the state of a job, and what each of them means for a row."""

from typing import Any, Dict, Optional

from pytest_wf.agent.run.executor import Word
from pytest_wf.wire.states import FAILED, PENDING, RUNNING, STOPPED, TIMED_OUT, UNKNOWN

_WAITS = frozenset(
    "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SUSPENDED".split()
)
_RUNS = frozenset("RUNNING COMPLETING RESIZING SIGNALING STAGE_OUT STOPPED".split())


def _judged(state: str, failure_class: str, reason: str) -> Dict[str, Any]:
    return {"state": state, "failure_class": failure_class, "reason": reason}


_TIME = _judged(TIMED_OUT, "timeout", "Slurm ended its job at the time limit")
_LOST_NODE = "Slurm did not queue its job again after"
#: Words of jobs that have ended, and how the row ended if its runner recorded no more.
_ENDS: Dict[str, Optional[Dict[str, Any]]] = {
    "COMPLETED": None,
    "FAILED": _judged(FAILED, "killed", "its Slurm job failed without a result"),
    "BOOT_FAIL": _judged(FAILED, "killed", "the node of its Slurm job did not boot"),
    "CANCELLED": _judged(STOPPED, "killed", "its Slurm job was cancelled"),
    "TIMEOUT": _TIME,
    "DEADLINE": _TIME,
    "OUT_OF_MEMORY": _judged(FAILED, "oom", "Slurm ended its job: out of memory (--mem)"),
    "PREEMPTED": _judged(FAILED, "preempted", _LOST_NODE + " a preemption"),
    "NODE_FAIL": _judged(FAILED, "preempted", _LOST_NODE + " its node failed"),
    "REVOKED": _judged(FAILED, "preempted", _LOST_NODE + " it was revoked"),
}


def word_of(state: str, reason: str = "") -> Word:
    """What Slurm's word `state` means for a row, with its `reason` for a job that waits.

    The state is UNKNOWN for a word that is not known here.
    """
    if state in _WAITS:
        why = reason if reason not in ("", "None") else state.lower()
        return Word(PENDING, "waits for Slurm: %s" % why)
    if state in _RUNS:
        return Word(RUNNING, "")
    if state in _ENDS:
        return Word("", "its Slurm job has ended (%s)" % state, _ENDS[state])
    return Word(UNKNOWN, "Slurm calls the state of its job %s, which is not known here" % state)
