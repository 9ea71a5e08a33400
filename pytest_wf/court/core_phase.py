"""What a core phase consists of; `phases` has one module for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pytest_wf.court.contract import Contract

if TYPE_CHECKING:
    from pytest_wf.court.case import Case


class Postcondition(NamedTuple):
    """One thing that a core phase must have brought about, and whether it did."""

    name: str
    #: Any value; it holds where that is true.
    ok: object
    law: int
    expected: str
    #: What was found instead; shown as text.
    actual: object
    remedy: str


class CorePhase(NamedTuple):
    """A phase of the lifecycle: its contract, and how its court judges what it did.

    `postconditions` reads the evidence's facts, which are those that the phase's operations
    returned (`flow.results.Result.facts`). An absent fact proves nothing, so its condition
    does not hold.
    """

    contract: Contract
    postconditions: Callable[[Case], list[Postcondition]]
    #: Whether they are judged whatever the phase's status is, not only where it is 'ok'.
    always_judged: bool = False
