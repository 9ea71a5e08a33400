"""Exceptions of the controller.

    WfError                     message, remedy; `str()` is the text for the user
     ├── InputError             mistakes in files and options of the user: exit 4, all at once
     ├── TransportError         a pod could not be reached, or the link broke
     │    ├── Unreachable       no connection was made
     │    ├── HostKeyError      the host's key is unknown or wrong; always fatal
     │    ├── AuthenticationError
     │    └── LinkLost          the connection broke: the result of what was running is *unknown*
     ├── OperationFailed        an operation failed; `kind` says how (wire.failures)
     │    └── PodGone           the pod is known not to exist any more
     └── NotAwaited             a row was launched and the flow does not wait for it
    CourtFailed(AssertionError) a phase's court did not pass; pytest shows it as a failed test

Example:
    try:
        connection = provider.connect(target)
    except TransportError as e:
        print(e.message, e.remedy)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AuthenticationError",
    "CourtFailed",
    "HostKeyError",
    "InputError",
    "LinkLost",
    "NotAwaited",
    "OperationFailed",
    "PodGone",
    "Problem",
    "TransportError",
    "Unreachable",
    "WfError",
]


class WfError(Exception):
    """Base class of all errors that the controller raises on purpose."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        if not self.remedy:
            return self.message
        # messages from a pod end without a full stop
        stop = "" if self.message.endswith((".", "!", "?", ":", "\n")) else "."
        return f"{self.message}{stop} {self.remedy}".strip()

    @property
    def next(self) -> str:
        """The remedy, apart from the message; empty if the message includes it."""
        return self.remedy


@dataclass(frozen=True)
class Problem:
    """One mistake in a file or option: the place, the value, the reason and the remedy.

    `value` is shown quoted; pass None to leave it out, as for every secret.
    """

    origin: str
    line: int | None
    key: str
    value: str | None
    reason: str
    remedy: str

    def __str__(self) -> str:
        place = self.origin if self.line is None else f"{self.origin}:{self.line}"
        subject = self.key if self.value is None else f'{self.key}="{_shown(self.value)}"'
        head = f"{place}: {subject}: " if subject else f"{place}: "
        return f"{head}{self.reason} {self.remedy}".strip()


class InputError(WfError):
    """All mistakes of the user in files or options."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    @property
    def next(self) -> str:
        """The remedies of all problems, without repeats."""
        return " ".join(dict.fromkeys(p.remedy for p in self.problems if p.remedy))


class TransportError(WfError):
    """A pod could not be reached, or the link to it broke. `kind` as in wire.failures."""

    kind = "unreachable"


class Unreachable(TransportError):
    """No connection was made: refused, no route, no banner in time."""


class HostKeyError(TransportError):
    """The host's key is unknown or not the pinned one. Never retried."""

    kind = "host-key"


class AuthenticationError(TransportError):
    """The host refused every key that was offered. Never retried."""

    kind = "authentication"


class LinkLost(TransportError):
    """The connection broke: the pod may or may not have done what was asked."""

    kind = "link-lost"


class OperationFailed(WfError):
    """An operation failed.

    `kind` is a name of `pytest_wf.wire.failures.KINDS`; `facts` is JSON for the evidence.
    """

    def __init__(
        self, kind: str, message: str, remedy: str = "", facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, remedy)
        self.kind = kind
        self.facts = dict(facts or {})


class PodGone(OperationFailed):
    """The pod is known not to exist any more: the data on it is lost."""


class NotAwaited(WfError):
    """A row was launched, has not ended, and the flow was told not to wait for it."""


class CourtFailed(AssertionError):
    """A phase's court did not pass. `str()` is the text that the report shows."""


def _shown(value: str) -> str:
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
