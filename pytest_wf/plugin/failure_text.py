"""How a failure is told: the court's words, and what of a traceback helps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from _pytest._code.code import ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter

from pytest_wf.errors import CourtFailed

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord

__all__ = ["Shown", "court_text", "from_here", "one_paragraph", "shown"]


@dataclass(eq=False)
class Shown(TerminalRepr):
    """What a report shows of a failure: the text, and its place and gist for summaries."""

    text: str
    reprcrash: ReprFileLocation | None

    def toterminal(self, tw: TerminalWriter) -> None:
        """As pytest asks for it."""
        tw.line(self.text)


def court_text(record: PhaseRecord, verdict: Verdict) -> str:
    """What a failed court says: why, which laws, where the evidence is, what to do next."""
    lines = [f"{record.contract.code} {record.contract.name}: code {verdict.code}"]
    failure = record.failure.text if record.failure is not None else ""
    if failure:
        lines.append(one_paragraph(failure))
    lines.append(
        f"court: deterministic {verdict.deterministic}, constitutional {verdict.constitutional}"
    )
    if verdict.halt_reason and verdict.halt_reason != failure:
        lines.append(f"why: {one_paragraph(verdict.halt_reason)}")
    lines.extend(f"law {law}: {_law_title(law)}" for law in verdict.violated_laws)
    lines.append(f"evidence: {record.evidence_path or 'not written'}")
    if verdict.suggested_next_command:
        lines.append(f"next: {verdict.suggested_next_command}")
    return "\n".join(lines)


def shown(item: pytest.Item, error: CourtFailed) -> Shown:
    """The court's text, behind the traceback of what the phase's own body raised."""
    cause, text = error.__cause__, str(error)
    if cause is not None and _is_the_authors(cause):
        traceback = item.repr_failure(pytest.ExceptionInfo.from_exception(cause))
        text = f"{traceback}\n\n{text}"
    path, line, _ = item.location
    in_short = ": ".join(part.strip() for part in str(error).splitlines()[:2])
    return Shown(text, ReprFileLocation(path, (line or 0) + 1, in_short))


def one_paragraph(text: str) -> str:
    """`text` with later lines set in: what begins in the first column is said by us."""
    return "\n  ".join(text.splitlines())


def from_here(path: str) -> str:
    """`path` as seen from the working directory, where it lies below that."""
    below = os.path.relpath(path) if path else ""
    return path if below.startswith("..") else below


def _law_title(law: int) -> str:
    from pytest_wf.court.constitution import LAWS

    return LAWS[law].title if law in LAWS else "unknown"


def _is_the_authors(error: BaseException) -> bool:
    """Whether a traceback into the phase's body helps: its own assertion, or a bug."""
    from pytest_wf.errors import WfError

    return not isinstance(error, (WfError, KeyboardInterrupt))
