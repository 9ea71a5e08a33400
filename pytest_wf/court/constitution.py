"""The laws and the contracts of the core phases, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pytest_wf.wire import fsm

__all__ = ["CONTRACTS", "LAWS", "VERSION", "Contract", "Law", "family_of", "is_code", "states_from"]

#: Version of the constitution that this release enforces (`WF_CONSTITUTION_VERSION`).
VERSION = 1


class Law(NamedTuple):
    """One law: its number, its name, and the text that an auditor is given."""

    id: int
    title: str
    text: str


LAWS: Mapping[int, Law] = MappingProxyType(
    {
        law.id: law
        for law in (
            Law(
                1,
                "Canonical config",
                "The active config is the project's flows/workflow.env. Another one is legal only "
                "where the canonical file says WF_ALLOW_OVERRIDE=1. Path, SHA-256 and override "
                "flag are recorded, and the hash is the same at every phase of a flow.",
            ),
            Law(
                2,
                "One lifecycle command",
                "The lifecycle is run by one canonical command; its phases come in the order of "
                "their codes and none is left out.",
            ),
            Law(
                3,
                "Target immutability",
                "A flow resolves one target, explicitly or by binding the pod that it rented, and "
                "never works on another one.",
            ),
            Law(
                4,
                "Noninteractive safety",
                "Without a terminal nothing may prompt or wait on stdin; a command that would "
                "need consent fails at once unless consent is explicit.",
            ),
            Law(
                5,
                "Phase contracts",
                "Each phase declares what it may do and does nothing else: its commands, "
                "preconditions, postconditions, artifacts and legal states.",
            ),
            Law(
                6,
                "Provenance and evidence",
                "Each phase leaves machine-readable evidence with its times, config, target, "
                "commit and artifacts, and no secret.",
            ),
            Law(
                7,
                "Destruction is explicit",
                "Pods and results are kept by default. Deletion is opted into, and touches only "
                "the pod that this flow bound and the paths that it made.",
            ),
            Law(
                8,
                "Docs mirror behaviour",
                "The documented lifecycle order, keys, teardown semantics and artifacts are those "
                "of the code.",
            ),
            Law(
                9,
                "Phase-end court",
                "A phase passes only if the deterministic validator and the auditor both say "
                "pass. Anything else halts the flow. Nothing is retried in silence.",
            ),
        )
    }
)


class Contract(NamedTuple):
    """What a phase promises; declared before it runs and judged when it has ended.

    A plain tuple, not a dataclass: the auditor starts once a phase and imports this.
    """

    code: str
    name: str
    #: What the phase is for, in one line; the checklist shows it.
    intent: str
    #: Command names that its operations may carry; nothing else may be done.
    commands: tuple[str, ...]
    preconditions: tuple[str, ...] = ()
    postconditions: tuple[str, ...] = ()
    #: Roles of artifacts that must be in the evidence after an 'ok' phase, such as 'manifest'.
    artifacts: tuple[str, ...] = ()
    laws: tuple[int, ...] = (1, 3, 5, 6, 9)
    #: Pod states in which the phase may begin; None where no pod is involved yet.
    states_before: frozenset[str] | None = None
    #: Pod states in which it may end; None where any is right.
    states_after: frozenset[str] | None = None
    #: Seconds; 0 means WF_PHASE_TIMEOUT_SECS, None that the phase waits on training or
    #: transfer and has no limit of its own.
    timeout_s: int | None = 0
    #: Runs whatever came before: P90 and P99.
    always: bool = False

    @property
    def family(self) -> int:
        """Failure family (1 to 5)."""
        return family_of(self.code)

    def as_data(self) -> dict[str, Any]:
        """The contract as plain JSON, as evidence carries it and auditors read it."""
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
    """Failure family (1 to 5) of a phase: that of the last core phase not after it."""
    family = 1
    for start, number in ((10, 2), (40, 3), (60, 4), (80, 5), (99, 1)):
        if int(code[1:]) >= start:
            family = number
    return family


def states_from(state: str) -> frozenset[str]:
    """`state` and every later one of the lifecycle, POD_TERMINATED left out."""
    order = [s for s in fsm.STATES if s != fsm.POD_TERMINATED]
    return frozenset(order[order.index(state) :])


_AFTER_READY = states_from(fsm.POD_READY)
_AFTER_BOOTSTRAP = states_from(fsm.BOOTSTRAPPED)
_AFTER_CHECKOUT = states_from(fsm.CHECKED_OUT)

CONTRACTS: Mapping[str, Contract] = MappingProxyType(
    {
        c.code: c
        for c in (
            Contract(
                "P00",
                "PRECHECK",
                "config and CSV are valid, policy and consent are settled",
                ("precheck",),
                postconditions=("config hash recorded", "laws loaded", "nothing remote touched"),
                artifacts=("config",),
                laws=(1, 2, 4, 5, 6, 8, 9),
            ),
            Contract(
                "P10",
                "PROVISION",
                "a pod is rented, or none is needed",
                ("provision",),
                preconditions=("P00 passed",),
                postconditions=("a target exists, or the reason why none was rented",),
                laws=(1, 3, 4, 5, 6, 7, 9),
            ),
            Contract(
                "P20",
                "TARGET_BIND",
                "one target is resolved and locked for the flow",
                ("bind",),
                preconditions=("an explicit target, or a rented pod",),
                postconditions=("the target is locked",),
            ),
            Contract(
                "P30",
                "POD_READY",
                "the pod answers, is the right one, and has the config",
                ("pod-status",),
                preconditions=("the target is bound",),
                postconditions=("host key verified", "config synced", "state at least POD_READY"),
                artifacts=("remote-config",),
                states_before=frozenset(fsm.STATES),
                states_after=_AFTER_READY,
            ),
            Contract(
                "P40",
                "BOOTSTRAP",
                "prerequisites are present and helper scripts have run",
                ("bootstrap",),
                preconditions=("the pod is ready",),
                postconditions=("no prerequisite is missing",),
                artifacts=("bootstrap-log",),
                states_before=_AFTER_READY,
                states_after=_AFTER_BOOTSTRAP,
            ),
            Contract(
                "P50",
                "CHECKOUT",
                "the repository is at the asked commit, with its environment and data",
                ("checkout",),
                preconditions=("the pod is bootstrapped",),
                postconditions=("commit as asked", "no tracked file modified", "torch as asked"),
                artifacts=("checkout-log",),
                states_before=_AFTER_BOOTSTRAP,
                states_after=_AFTER_CHECKOUT,
            ),
            Contract(
                "P60",
                "SWEEP",
                "the sweep is frozen as a campaign and under way on the pod",
                ("sweep-start", "sweep-resume", "sweep-skip"),
                preconditions=("the repository is checked out",),
                postconditions=("the manifest is frozen", "a campaign is on the pod"),
                states_before=_AFTER_CHECKOUT,
                states_after=_AFTER_CHECKOUT,
            ),
            Contract(
                "P70",
                "MONITOR",
                "every row has ended, or one snapshot of the campaign is taken",
                ("sweep-watch",),
                preconditions=("P60 passed",),
                postconditions=("each row's state is known",),
                states_before=_AFTER_CHECKOUT,
                states_after=_AFTER_CHECKOUT,
                timeout_s=None,
            ),
            Contract(
                "P80",
                "FETCH",
                "the asked results are here and verified",
                ("fetch", "fetch-skip"),
                preconditions=("P70 passed",),
                postconditions=("every fetched file has the digest that the pod gave",),
                laws=(1, 3, 5, 6, 7, 9),
                states_before=_AFTER_CHECKOUT,
                states_after=_AFTER_CHECKOUT,
                timeout_s=None,
            ),
            Contract(
                "P90",
                "TEARDOWN",
                "the pod is kept or deleted, as the policy says",
                ("teardown", "pod-delete"),
                preconditions=("the policy is known",),
                postconditions=("kept and named, or deleted and proved",),
                laws=(3, 5, 6, 7, 9),
                always=True,
            ),
            Contract(
                "P99",
                "SUMMARY",
                "the flow's verdict and summary are written",
                ("summary",),
                postconditions=("flow.summary.json closes the chain",),
                laws=(2, 5, 6, 8, 9),
                always=True,
            ),
        )
    }
)
