"""Findings of readiness checks, and the runner of a list of checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pytest_wf.errors import OperationFailed, WfError

#: The effect on a flow: it can start, it can start with a warning, it
#: would fail; or the check waits for something that does not exist yet.
OK, WARNING, PROBLEM, WAITS = "ok", "warning", "problem", "waits"

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The finding of one check: one line for people."""

    status: str
    text: str
    remedy: str = ""
    #: How a phase would fail; a name of `wire.failures.KINDS`.
    kind: str = "config"
    #: Name of the check.
    check: str = ""

    @property
    def sentence(self) -> str:
        """The text and its remedy."""
        return str(WfError(self.text, self.remedy))

    def as_json(self) -> dict[str, str]:
        """The finding for evidence and `--json`."""
        told = {"check": self.check, "status": self.status, "text": self.text}
        return {**told, "remedy": self.remedy}


@dataclass(frozen=True)
class ReadinessCheck(Generic[T]):
    """One question about a `T`; a check that does not apply finds nothing."""

    name: str
    #: The condition under which the check passes, for the docs.
    claim: str
    find: Callable[[T], Iterable[Finding]]


def ok(text: str) -> Finding:
    """A finding that nothing is wrong."""
    return Finding(OK, text)


def warning(text: str, remedy: str = "") -> Finding:
    """A finding that does not keep a flow from starting."""
    return Finding(WARNING, text, remedy)


def problem(text: str, remedy: str, kind: str = "config") -> Finding:
    """A finding that would make a flow fail."""
    return Finding(PROBLEM, text, remedy, kind)


def run_checks(checks: Sequence[ReadinessCheck[T]], subject: T) -> list[Finding]:
    """The findings of all checks, in order; an exception in a check is a problem."""
    return [
        replace(finding, check=check.name) for check in checks for finding in _found(check, subject)
    ]


def _found(check: ReadinessCheck[T], subject: T) -> Iterator[Finding]:
    try:
        yield from check.find(subject)
    except OperationFailed as e:
        yield problem(e.message, e.remedy, e.kind)
    except WfError as e:
        yield problem(e.message, e.remedy)
    except (OSError, TimeoutError) as e:
        yield problem(f"this could not be checked: {e}", "Correct that, and check again.")


def problems_of(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that would make a flow fail."""
    return [finding for finding in findings if finding.status == PROBLEM]


def demand_ready(findings: Sequence[Finding]) -> None:
    """Raise OperationFailed with all problems, if there are any."""
    wrong = problems_of(findings)
    if wrong:
        text = "\n".join(finding.sentence for finding in wrong)
        facts = {"checks": [finding.as_json() for finding in findings]}
        raise OperationFailed(wrong[0].kind, text, facts=facts)
