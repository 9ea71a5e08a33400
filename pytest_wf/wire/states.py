"""States of rows and tasks, and which of them count as ended, failed or known."""

PENDING = "pending"
RUNNING = "running"
SUCCESS = "success"
FAILED = "failed"
TIMED_OUT = "timed_out"
STOPPED = "stopped"
DRY_RUN = "dry_run"
#: Has not ended, and no process works on it.
LOST = "lost"
#: Its files cannot be read: neither success nor failure.
UNREADABLE = "unreadable"
#: The controller's word for a row whose pod does not answer.
UNKNOWN = "unknown"

#: States of a row that do not change any more by themselves.
ROW_ENDED = frozenset({SUCCESS, FAILED, TIMED_OUT, STOPPED, DRY_RUN})
#: Ended states of a row that make its test case fail.
ROW_FAILED = frozenset({FAILED, TIMED_OUT, STOPPED})
#: States of a row that is counted as in progress.
ROW_IN_PROGRESS = frozenset({RUNNING, LOST})
#: States of a row about which nothing can be said.
ROW_NOT_KNOWN = frozenset({UNKNOWN, UNREADABLE, LOST})
#: Every state that the pod gives a row, `UNREADABLE` apart.
ROW_KNOWN = ROW_ENDED | {PENDING, RUNNING, LOST}

#: Every state of a row.
ROW_STATES = ROW_KNOWN | {UNREADABLE, UNKNOWN}

#: A campaign's supervisor: at work, ended by itself, or neither.
SUPERVISOR_ALIVE = "alive"
SUPERVISOR_ENDED = "ended"
SUPERVISOR_GONE = "gone"
SUPERVISOR_STATES = frozenset({SUPERVISOR_ALIVE, SUPERVISOR_ENDED, SUPERVISOR_GONE})

#: States of a task that do not change any more by themselves.
TASK_ENDED = frozenset({SUCCESS, FAILED, TIMED_OUT})
