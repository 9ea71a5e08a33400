"""The text of a failed phase: the court's verdict, and the traceback if that helps."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from _pytest._code.code import ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter

from pytest_wf.errors import CourtFailed, WfError
from pytest_wf.flow.run_view import RunView

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord


@dataclass(eq=False)
class FailureText(TerminalRepr):
    """A failure as text, with its location and a short form for summaries."""

    text: str
    reprcrash: ReprFileLocation | None

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write the text, as pytest requires of a representation."""
        tw.line(self.text)


def court_text(record: PhaseRecord, verdict: Verdict) -> str:
    """The text of a failed court: reason, laws, evidence, next command."""
    lines = [f"{record.contract.code} {record.contract.name}: code {verdict.code}"]
    failure = record.failure.text if record.failure is not None else ""
    if failure:
        lines.append(indented(failure))
    lines.append(
        f"court: deterministic {verdict.deterministic}, constitutional {verdict.constitutional}"
    )
    if verdict.halt_reason and verdict.halt_reason != failure:
        lines.append(f"why: {indented(verdict.halt_reason)}")
    lines.extend(f"law {law}: {_law_title(law)}" for law in verdict.violated_laws)
    lines.append(f"evidence: {record.evidence_path or 'not written'}")
    if verdict.suggested_next_command:
        lines.append(f"next: {verdict.suggested_next_command}")
    if verdict.code:
        lines.append(f"more: wf explain {verdict.code}")
    return "\n".join(lines)


def failure_text(item: pytest.Item, error: CourtFailed) -> FailureText:
    """The court's text, after the traceback of the exception that the phase's body raised."""
    cause, text = error.__cause__, str(error)
    if cause is not None and _is_the_authors(cause):
        traceback = item.repr_failure(pytest.ExceptionInfo.from_exception(cause))
        text = f"{traceback}\n\n{text}"
    path, line, _ = item.location
    short = ": ".join(part.strip() for part in str(error).splitlines()[:2])
    return FailureText(text, ReprFileLocation(path, (line or 0) + 1, short))


def row_failure_text(
    item: pytest.Item, error: BaseException, whole: Callable[[str], str]
) -> FailureText | None:
    """The row's `why`, or an operation's message on the row; None for another error.

    `whole` makes the commands that a text names whole. The source line of the test and
    pytest's values in it would hide the reason.
    """
    path, line, _ = item.location
    if isinstance(error, WfError):
        following = f"\nnext: {whole(error.next)}" if error.next else ""
        said = whole(error.message)
        place = ReprFileLocation(path, (line or 0) + 1, said)
        return FailureText(f"{said}{following}", place)
    row = getattr(item, "funcargs", {}).get("wf_run")
    said = row.said if isinstance(row, RunView) else ""
    first = said.partition("\n")[0]
    if not first or not isinstance(error, AssertionError) or not str(error).startswith(first):
        return None
    return FailureText(said, ReprFileLocation(path, (line or 0) + 1, said))


def indented(text: str) -> str:
    """`text` with its later lines indented: only contract lines begin in the first column."""
    return "\n  ".join(text.splitlines())


def relative_path(path: str) -> str:
    """`path` relative to the working directory, if it is below that."""
    below = os.path.relpath(path) if path else ""
    return path if below.startswith("..") else below


def _law_title(law: int) -> str:
    from pytest_wf.court.constitution import LAWS

    return LAWS[law].title if law in LAWS else "unknown"


def _is_the_authors(error: BaseException) -> bool:
    """Whether a traceback into the phase's body helps: for its own assertion, or a bug."""
    return not isinstance(error, (WfError, KeyboardInterrupt))
