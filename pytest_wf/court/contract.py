"""The contract of a phase.

A plain tuple, not a dataclass: the auditor, which starts once per phase, imports this.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pytest_wf.wire import fsm


class Contract(NamedTuple):
    """The contract of a phase; declared before it runs and judged when it has ended."""

    code: str
    name: str
    #: The purpose of the phase, in one line; the checklist shows it.
    intent: str
    #: Command names that its operations may have; nothing else may be done.
    commands: tuple[str, ...]
    preconditions: tuple[str, ...] = ()
    postconditions: tuple[str, ...] = ()
    #: Roles of artifacts that must be in the evidence after an 'ok' phase, such as 'manifest'.
    artifacts: tuple[str, ...] = ()
    laws: tuple[int, ...] = (1, 3, 5, 6, 9)
    #: Pod states in which the phase may begin; None if no pod is involved yet.
    states_before: frozenset[str] | None = None
    #: Pod states in which the phase may end; None if any is right.
    states_after: frozenset[str] | None = None
    #: Seconds; 0 means WF_PHASE_TIMEOUT_SECS, None that the phase waits for training or
    #: transfer and has no limit of its own.
    timeout_s: int | None = 0
    #: Runs whatever happened before: P90 and P99.
    always: bool = False

    @property
    def family(self) -> int:
        """Failure family (1 to 5)."""
        return family_of(self.code)

    def as_data(self) -> dict[str, Any]:
        """The contract as plain JSON, for evidence and auditors."""
        data = {name: _plain(value) for name, value in self._asdict().items()}
        return {**data, "family": self.family}


def is_code(text: str) -> bool:
    """Whether `text` is a phase code: P and two digits."""
    return re.fullmatch(r"P[0-9]{2}", text) is not None


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


def family_of(code: str) -> int:
    """Failure family (1 to 5) of a phase: that of the last core phase up to it."""
    family = 1
    for start, number in ((10, 2), (40, 3), (60, 4), (80, 5), (99, 1)):
        if int(code[1:]) >= start:
            family = number
    return family


def states_from(state: str) -> frozenset[str]:
    """`state` and every later one of the lifecycle, except POD_TERMINATED."""
    order = [s for s in fsm.STATES if s != fsm.POD_TERMINATED]
    return frozenset(order[order.index(state) :])
