"""The parts of a core phase; `phases` has one module for each phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pytest_wf.court.contract import Contract

if TYPE_CHECKING:
    from pytest_wf.court.case import Case


class Postcondition(NamedTuple):
    """One effect that a core phase must have, and whether it had it."""

    name: str
    #: Any value; the condition holds if it is true.
    ok: object
    law: int
    expected: str
    #: The actual value; shown as text.
    actual: object
    remedy: str


class CorePhase(NamedTuple):
    """A phase of the lifecycle: its contract, and the postconditions that its court judges.

    `postconditions` reads the evidence's facts, which are those that the phase's operations
    returned (`flow.results.Result.facts`). The condition of a missing fact does not hold.
    """

    contract: Contract
    postconditions: Callable[[Case], list[Postcondition]]
    #: Whether they are judged whatever the phase's status is, or only if it is 'ok'.
    always_judged: bool = False
