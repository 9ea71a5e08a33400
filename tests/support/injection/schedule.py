"""What is done to one whole flow: a pure function of a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from tests.support import damage

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
    "damage": 4,
    "command": 2,
}
_LINK_KINDS = {"cut": 2, "silence": 2, "half-silence": 1}
#: Kinds that a transport has beside those; a machine is an SSH host with a power switch.
_MORE_KINDS: dict[str, dict[str, int]] = {
    "local": {"restart-pod": 1},
    "ssh": {**_LINK_KINDS, "restart-sshd": 1, "restart-pod": 1},
    "machine": {**_LINK_KINDS, "reboot": 2},
}


#: Control files below `_control` that have a second copy.
_SEALED = (
    "workflow_state.json",
    "lease.json",
    "made.json",
    "campaigns/latest.json",
    "campaigns/*/campaign.json",
    "campaigns/*/launches/*.json",
)
#: Files from which another one tells the same.
_UNSEALED = (
    "_control/campaigns/*/supervisor.json",
    *(f"{row}/summary.json" for row in ROWS),
    *(f"{row}/attempts/*/result.json" for row in ROWS),
)
#: `wf` commands that may be given at any time.
_COMMANDS = (
    "prune",
    "doctor",
    "sweep-status",
    "fetch-all",
    "fetch-all --from-directory",
    "fetch-run one --from-directory",
)
#: What the flows behind the first one are, and how often; see `Leg.begins`.
_LATER = {
    "resume": 4,
    "select": 2,
    "select-start": 1,
    "last-failed": 1,
    "edit": 2,
    "remove": 1,
    "retrain": 2,
    "force": 1,
    "recode": 1,
    "prune": 1,
}
#: How long a pod may be silent, where a schedule has little patience; and the longest silence.
PATIENCE_S = 3
_SILENCE_S = 9.0


class Fault(NamedTuple):
    """One injection, `delay_s` behind the first `event` of its leg."""

    event: str
    delay_s: float
    kind: str
    #: For a signal, its name and the role that gets it; for damage, how and which files; for a
    #: command, its words.
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

    #: A start: 'start'; behind an edit of the CSV, 'edit' and 'remove'; of one row, 'select-start';
    #: of rows that are done, 'retrain' and 'force'; with another trainer, 'recode'.
    #: A resume: 'resume'; of one row, 'select'; of those that failed, 'last-failed'; behind
    #: `wf prune`, 'prune'.
    begins: str
    faults: tuple[Fault, ...]


class Schedule(NamedTuple):
    """The flows of one project."""

    seed: int
    transport: str
    legs: tuple[Leg, ...]
    #: Whether a pod is lost after `PATIENCE_S`.
    is_impatient: bool = False


def schedule(seed: int) -> Schedule:
    """The schedule of `seed`; the same one always."""
    dice = random.Random(seed)
    transport = dice.choice(list(_MORE_KINDS))
    later = (_leg(dice, transport, _chosen(dice, _LATER)) for _ in range(9))
    legs = (_leg(dice, transport, "start"), *islice(later, dice.choice((0, 0, 1, 1, 2))))
    return Schedule(seed, transport, legs, transport != "local" and dice.random() < 0.3)


def _leg(dice: random.Random, transport: str, begins: str) -> Leg:
    count = dice.choice((1, 1, 2, 3))
    faults = (_fault(dice, transport, begins == "start") for _ in range(count))
    return Leg(begins, tuple(faults))


def _fault(dice: random.Random, transport: str, is_first: bool) -> Fault:
    kind = _chosen(dice, {**_KINDS, **_MORE_KINDS[transport]})
    role = dice.choice(_ROLES) if kind == "signal" else ""
    signal = dice.choice(_SIGNALS)
    if signal == "INT" and role in _OF_THE_AGENT:
        signal = "TERM"
    target = f"{signal} {role}" if role else ""
    if kind == "damage":
        target = _damage(dice)
    elif kind == "command":
        target = dice.choice(_COMMANDS)
    delay_s = dice.choice((0.0, dice.uniform(0, 0.05), dice.uniform(0, 0.5)))
    event = _event(dice, is_first)
    if role == "operation":
        event = f"phase:{dice.choice(('P40', 'P50'))}"
    elif role in ("runner", "trainer") and event.startswith(("phase:", "start")):
        event = f"begin:{dice.choice(ROWS)}"
    longest = _SILENCE_S if kind == "silence" else 4.0
    return Fault(event, delay_s, kind, target, dice.uniform(0.1, longest))


def _damage(dice: random.Random) -> str:
    """How, and which files: a control file, its copy, both, or one that has no copy."""
    how, place = dice.choice(list(damage.KINDS)), dice.choice(("file", "copy", "both", "none"))
    file = f"_control/{dice.choice(_SEALED)}"
    files = {"file": file, "copy": f"{file}.copy", "both": f"{file} {file}.copy"}
    if place == "both" and how == "missing":
        how = "empty"  # what is nowhere was never there
    return f"{how} {files.get(place) or dice.choice(_UNSEALED)}"


def _chosen(dice: random.Random, weights: Mapping[str, int]) -> str:
    return dice.choices(list(weights), weights=list(weights.values()))[0]


def _event(dice: random.Random, is_first: bool) -> str:
    row = dice.choice(ROWS)
    of_row = [f"begin:{row}", f"end:{row}", f"{dice.choice(_FILES)}:{row}", f"summary:{row}"]
    events = [f"phase:{dice.choice(_PHASES)}", "start", f"fetched:{row}"]
    # a resume finds many rows trained already; its phases always begin
    return dice.choice([*of_row, *events] if is_first else [*events, *events, *of_row])
