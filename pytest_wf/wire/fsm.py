"""The pod's state machine: states, and which command is legal in which of them.

The state describes the pod. It is kept on the pod, changed only by the agent, and read by both
sides. ``COMMANDS`` is the complete table; the plan and the agent's checks use it.
"""

from typing import Dict, FrozenSet, NamedTuple, Optional, Tuple

INIT = "INIT"
POD_READY = "POD_READY"
BOOTSTRAPPED = "BOOTSTRAPPED"
CHECKED_OUT = "CHECKED_OUT"
SWEEP_RUNNING = "SWEEP_RUNNING"
SWEEP_STALLED = "SWEEP_STALLED"
SWEEP_COMPLETED = "SWEEP_COMPLETED"
ARTIFACTS_FETCHING = "ARTIFACTS_FETCHING"
ARTIFACTS_SYNCED = "ARTIFACTS_SYNCED"
POD_TERMINATED = "POD_TERMINATED"

STATES: Tuple[str, ...] = (
    INIT,
    POD_READY,
    BOOTSTRAPPED,
    CHECKED_OUT,
    SWEEP_RUNNING,
    SWEEP_STALLED,
    SWEEP_COMPLETED,
    ARTIFACTS_FETCHING,
    ARTIFACTS_SYNCED,
    POD_TERMINATED,
)
_ALL = frozenset(STATES)
_GONE = frozenset({INIT, POD_TERMINATED})


class Command(NamedTuple):
    """One row of the table: in which states a command is legal, and to which it leads."""

    legal_in: FrozenSet[str]
    #: States that the command may lead to; empty means that the state stays.
    leaves: FrozenSet[str]
    #: What to do when the command is refused.
    way_out: str
    #: The states of `legal_in` that it does not change, although it may change the others.
    stays_in: FrozenSet[str] = frozenset()


COMMANDS: Dict[str, Command] = {
    "pod-status": Command(_ALL, frozenset({POD_READY}), ""),
    "bootstrap": Command(
        _ALL - _GONE - {SWEEP_RUNNING, ARTIFACTS_FETCHING},
        frozenset({BOOTSTRAPPED}),
        "Run `wf pod-status` first; while a sweep runs, wait for it or run `wf sweep-stop`.",
    ),
    "checkout": Command(
        frozenset({BOOTSTRAPPED, CHECKED_OUT, SWEEP_STALLED, SWEEP_COMPLETED, ARTIFACTS_SYNCED}),
        frozenset({CHECKED_OUT}),
        "Run `wf bootstrap` first; while a sweep runs, wait for it or run `wf sweep-stop`.",
    ),
    "sweep-start": Command(
        frozenset({CHECKED_OUT, SWEEP_STALLED, SWEEP_COMPLETED, ARTIFACTS_SYNCED}),
        frozenset({SWEEP_RUNNING}),
        "Run `wf checkout` first; attach to a running sweep with `--wf-sweep=resume`.",
    ),
    "sweep-resume": Command(
        _ALL - _GONE - {POD_READY, BOOTSTRAPPED},
        frozenset({SWEEP_RUNNING, SWEEP_COMPLETED}),
        "There is nothing to resume: start a sweep with `--wf-sweep=start`.",
    ),
    # a row that another pod ceded, or that was with a pod which is gone
    "sweep-assign": Command(
        frozenset({SWEEP_RUNNING, SWEEP_COMPLETED, ARTIFACTS_SYNCED}),
        frozenset({SWEEP_RUNNING}),
        "Resume the sweep with `--wf-sweep=resume`.",
    ),
    "sweep-stop": Command(
        _ALL,
        frozenset({SWEEP_STALLED, SWEEP_COMPLETED}),
        "",
    ),
    # what the pod's own supervisor does when every row has ended, or nothing can go on
    "sweep-end": Command(
        frozenset({SWEEP_RUNNING}),
        frozenset({SWEEP_STALLED, SWEEP_COMPLETED}),
        "",
    ),
    "sweep-status": Command(_ALL, frozenset(), ""),
    "sweep-watch": Command(_ALL, frozenset(), ""),
    "logs": Command(_ALL, frozenset(), ""),
    "doctor": Command(_ALL, frozenset(), ""),
    "fetch": Command(
        _ALL - _GONE,
        frozenset({ARTIFACTS_FETCHING, ARTIFACTS_SYNCED}),
        "Run `wf pod-status` first.",
        # a start that was refused leaves the pod there, and earlier results on it
        frozenset({POD_READY, BOOTSTRAPPED, CHECKED_OUT}),
    ),
    "task-run": Command(_ALL - _GONE, frozenset(), "Run `wf pod-status` first."),
    "pod-delete": Command(
        _ALL - {SWEEP_RUNNING, ARTIFACTS_FETCHING},
        frozenset({POD_TERMINATED}),
        "Wait for the sweep, run `wf sweep-stop`, or use `--force`.",
    ),
    "fsm-reset": Command(_ALL, _ALL, ""),
}


class IllegalTransition(Exception):
    """A command was given in a state where the table does not allow it.

    ``str()`` names the command, the current and the allowed states, and the remedy.
    """

    def __init__(self, command: str, state: str) -> None:
        self.command = command
        self.state = state
        self.allowed = tuple(s for s in STATES if s in COMMANDS[command].legal_in)
        self.way_out = COMMANDS[command].way_out
        self.why = "'%s' needs state %s; the pod is in %s" % (
            command,
            _any_of(self.allowed),
            state,
        )
        super().__init__("%s. %s" % (self.why, self.way_out))


def check(command: str, state: str) -> None:
    """Raise `IllegalTransition` unless `command` is legal in `state`.

    Raises KeyError for a command that the table does not know: that is a bug, not a
    user's mistake.
    """
    if state not in COMMANDS[command].legal_in:
        raise IllegalTransition(command, state)


def is_legal(command: Optional[str], before: str, after: str) -> bool:
    """Whether the table lets `command` take the pod from `before` to `after`.

    A command of a user's own phase is unknown to the table: it may run anywhere and
    must leave the state alone.
    """
    rule = COMMANDS.get(command or "")
    if rule is None:
        return before == after
    if before not in rule.legal_in:
        return False
    return after == before or (after in rule.leaves and before not in rule.stays_in)


def settled(state: str, previous: str, lease_alive: bool) -> str:
    """The state that holds when no living controller holds a transient one.

    ARTIFACTS_FETCHING is held only by a living controller; when its lease has expired, the pod is
    back in the state before it.
    """
    if state == ARTIFACTS_FETCHING and not lease_alive:
        return previous
    return state


def _any_of(names: Tuple[str, ...]) -> str:
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " or " + names[-1]
