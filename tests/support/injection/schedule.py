"""What is done to one whole flow: a pure function of a seed."""

from __future__ import annotations

import random
from itertools import islice
from typing import NamedTuple

ROWS = ("one", "two", "three")
_PHASES = ("P30", "P40", "P50", "P60", "P70", "P80", "P90", "P99")
_FILES = ("pid.json", "exit.json", "result.json", "status.json")
_ROLES = ("controller", "agent", "operation", "supervisor", "runner", "trainer", "tmux")
#: Nobody sends these Ctrl-C, and Python tells it while it starts.
_OF_THE_AGENT = ("agent", "operation", "supervisor", "runner")
_SIGNALS = ("KILL", "KILL", "KILL", "TERM", "INT", "STOP")
#: Kinds of faults of any pod, and how often each comes up.
_KINDS = {
    "signal": 12,
    "second-controller": 1,
    "sweep-stop": 1,
    "full-disk": 1,
    "full-local-disk": 1,
    "damage": 2,
}
_LINK_KINDS = {"cut": 2, "silence": 1, "half-silence": 1}
#: Kinds that a transport has beside those; a machine is an SSH host with a power switch.
_MORE_KINDS: dict[str, dict[str, int]] = {
    "local": {"restart-pod": 1},
    "ssh": {**_LINK_KINDS, "restart-sshd": 1, "restart-pod": 1},
    "machine": {**_LINK_KINDS, "reboot": 2},
}


#: Control files that are cut in half or filled with something else; each has a second copy.
_DAMAGED = (
    "workflow_state.json",
    "lease.json",
    "campaigns/latest.json",
    "campaigns/*/campaign.json",
    "campaigns/*/supervisor.json",
)


class Fault(NamedTuple):
    """One injection, `delay_s` behind the first `event` of its leg."""

    event: str
    delay_s: float
    kind: str
    #: For a signal, its name and the role that gets it; for damage, how and which file.
    target: str
    #: For what ends by itself, seconds.
    lasts_s: float

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.target}".rstrip() + f" for {self.lasts_s:.2f} s "
            f"at {self.event} + {self.delay_s:.3f} s"
        )


class Leg(NamedTuple):
    """One flow, and its faults."""

    #: 'start'; 'resume'; 'select', a resume of one row; 'edit', a start behind an edit of the CSV.
    begins: str
    faults: tuple[Fault, ...]


class Schedule(NamedTuple):
    """The flows of one project."""

    seed: int
    transport: str
    legs: tuple[Leg, ...]


def schedule(seed: int) -> Schedule:
    """The schedule of `seed`; the same one always."""
    dice = random.Random(seed)
    transport = dice.choice(list(_MORE_KINDS))
    later = (_leg(dice, transport, dice.choice(("resume", "select", "edit"))) for _ in range(9))
    legs = (_leg(dice, transport, "start"), *islice(later, dice.choice((0, 0, 1, 1, 2))))
    return Schedule(seed, transport, legs)


def _leg(dice: random.Random, transport: str, begins: str) -> Leg:
    count = dice.choice((1, 1, 2, 3))
    faults = (_fault(dice, transport, begins == "start") for _ in range(count))
    return Leg(begins, tuple(faults))


def _fault(dice: random.Random, transport: str, is_first: bool) -> Fault:
    kinds = {**_KINDS, **_MORE_KINDS[transport]}
    kind = dice.choices(list(kinds), weights=list(kinds.values()))[0]
    role = dice.choice(_ROLES) if kind == "signal" else ""
    signal = dice.choice(_SIGNALS)
    if signal == "INT" and role in _OF_THE_AGENT:
        signal = "TERM"
    target = f"{signal} {role}" if role else ""
    if kind == "damage":
        target = f"{dice.choice(('cut', 'garble'))} {dice.choice(_DAMAGED)}"
    delay_s = dice.choice((0.0, dice.uniform(0, 0.05), dice.uniform(0, 0.5)))
    event = _event(dice, is_first)
    if role == "operation":
        event = f"phase:{dice.choice(('P40', 'P50'))}"
    elif role in ("runner", "trainer") and event.startswith(("phase:", "start")):
        event = f"begin:{dice.choice(ROWS)}"
    return Fault(event, delay_s, kind, target, dice.uniform(0.1, 4.0))


def _event(dice: random.Random, is_first: bool) -> str:
    row = dice.choice(ROWS)
    of_row = [f"begin:{row}", f"end:{row}", f"{dice.choice(_FILES)}:{row}", f"summary:{row}"]
    events = [f"phase:{dice.choice(_PHASES)}", "start", f"fetched:{row}"]
    # a resume finds many rows trained already; its phases always begin
    return dice.choice([*of_row, *events] if is_first else [*events, *events, *of_row])
