"""States of rows and tasks, and which of them count as ended, failed or known."""

from collections import Counter
from typing import Dict, Iterable, Mapping, Union

PENDING = "pending"
RUNNING = "running"
SUCCESS = "success"
FAILED = "failed"
TIMED_OUT = "timed_out"
STOPPED = "stopped"
DRY_RUN = "dry_run"
#: Has not ended, and no process works on it.
LOST = "lost"
#: In no launch of its campaign so far: neither ended nor missing.
NOT_SELECTED = "not_selected"
#: Another pod of a shared campaign trains it: this one does nothing for it.
OTHER_POD = "other_pod"
#: Its files cannot be read: neither success nor failure.
UNREADABLE = "unreadable"
#: The controller's state for a row whose pod does not answer.
UNKNOWN = "unknown"

#: States of a row that do not change any more by themselves.
ROW_ENDED = frozenset({SUCCESS, FAILED, TIMED_OUT, STOPPED, DRY_RUN})
#: States of a row that this pod does not train by the launches of its campaign.
ROW_LEFT_OUT = frozenset({NOT_SELECTED, OTHER_POD})
#: States of a row for which nothing more is done by the launches of its campaign.
ROW_SETTLED = ROW_ENDED | ROW_LEFT_OUT
#: Ended states of a row that make its test case fail.
ROW_FAILED = frozenset({FAILED, TIMED_OUT, STOPPED})
#: States of a row that is counted as in progress.
ROW_IN_PROGRESS = frozenset({RUNNING, LOST})
#: States of a row about which nothing can be said.
ROW_NOT_KNOWN = frozenset({UNKNOWN, UNREADABLE, LOST})
#: Every state that the pod gives a row, except `UNREADABLE`.
ROW_KNOWN = ROW_SETTLED | {PENDING, RUNNING, LOST}

#: Every state of a row.
ROW_STATES = ROW_KNOWN | {UNREADABLE, UNKNOWN}

#: What a row counts as, by its state. A row in another state counts only in the total: a dry run
#: ran nothing, and nothing is known of an unknown row.
COUNTED_AS: Dict[str, str] = {
    SUCCESS: "ok",
    **dict.fromkeys(sorted(ROW_FAILED), "failed"),
    **dict.fromkeys(sorted(ROW_IN_PROGRESS), "in_progress"),
    PENDING: "missing_dir",
    UNREADABLE: "parse_error",
    NOT_SELECTED: "not_selected",
}
COUNTS = ("total", "ok", "failed", "in_progress", "missing_dir", "parse_error", "not_selected")

#: A campaign's supervisor: at work, ended by itself, or neither.
SUPERVISOR_ALIVE = "alive"
SUPERVISOR_ENDED = "ended"
SUPERVISOR_GONE = "gone"
SUPERVISOR_STATES = frozenset({SUPERVISOR_ALIVE, SUPERVISOR_ENDED, SUPERVISOR_GONE})

#: States of a task that do not change any more by themselves.
TASK_ENDED = frozenset({SUCCESS, FAILED, TIMED_OUT})


def count(states: Union[Iterable[str], Mapping[str, int]]) -> Dict[str, int]:
    """How many rows there are in all, and of each kind: the figures of every view.

    `states` are those of the rows, or how many rows are in each. Rows of another pod are left out:
    each row counts once in the sum over all pods.
    """
    counts = dict.fromkeys(COUNTS, 0)
    for state, number in Counter(states).items():
        if state == OTHER_POD:
            continue
        counts["total"] += number
        kind = COUNTED_AS.get(state)
        if kind is not None:
            counts[kind] += number
    return counts
