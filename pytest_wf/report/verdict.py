"""A flow's outcome in words: what it came to, why, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_wf.core.records import FlowSummary
from pytest_wf.report.folder import Folder
from pytest_wf.report.model import Phase, Row
from pytest_wf.report.rows import FAILED

__all__ = ["Outcome", "verdict_of"]

_RESUME = "pytest flows/ --wf-flow --wf-sweep=resume"


@dataclass(frozen=True)
class Outcome:
    """The top of the page."""

    outcome: str
    headline: str
    explained: tuple[str, ...] = ()
    next_command: str = ""


def verdict_of(folder: Folder, phases: Sequence[Phase], rows: Sequence[Row]) -> Outcome:
    """What the flow came to. Without a summary it did not end: where it stood is said."""
    if folder.summary is None:
        return _unfinished(phases)
    summary = folder.summary
    if summary.ok:
        return Outcome("passed", "Passed", _of_rows(rows), _attach(rows))
    by_code = {phase.code: phase for phase in phases}
    where = by_code.get(summary.failed_phase or "")
    name = f"{where.code} {where.name}" if where is not None else "an unknown phase"
    why = _why(folder, summary)
    if summary.failure_kind in ("row-failed", "row-expectation"):
        failed = sum(row.ok is False for row in summary.rows)
        said = f"{failed} of {len(summary.rows)} rows failed"
        return Outcome("failed", said, _of_rows(rows), _RESUME + " --wf-wait=true")
    if summary.exit_code == 2:
        return Outcome("interrupted", f"Interrupted in {name}", (*why, *_of_rows(rows)), _RESUME)
    halted = [phase for phase in phases if phase.status == "halted"]
    verb = "Halted by" if halted else "Failed in"
    return Outcome(
        "halted" if halted else "failed",
        f"{verb} {name}",
        (*why, *_skipped(halted), *_of_rows(rows)),
        _suggested(folder, summary),
    )


def _unfinished(phases: Sequence[Phase]) -> Outcome:
    """Where a flow stood that left no summary: killed, still running, or damaged."""
    judged = [phase for phase in phases if phase.court != "none"]
    opened = next((phase for phase in phases if phase.status == "open"), None)
    last = judged[-1] if judged else None
    if opened is not None:
        where = f"{opened.code} {opened.name}"
        said = f"{where} has evidence and no verdict: the flow ended before its court did."
    else:
        rest = [p for p in phases if p.status == "none" and (last is None or p.code > last.code)]
        where = f"{rest[0].code} {rest[0].name}" if rest else "its end"
        said = (
            f"{where} left nothing: the flow ended in it or just before it."
            if rest
            else "All phases were judged; the summary was not written."
        )
    word = "in" if opened is not None or last is not None else "at"
    before = (
        f"The last verdict is {last.code} {last.name}'s: {last.court}."
        if last is not None
        else "No phase was judged."
    )
    return Outcome(
        "unfinished",
        f"Not finished: it ended {word} {where}",
        (
            said,
            before,
            "There is no flow.summary.json: the flow was killed, or is still running. "
            "What was under way on the pod may go on.",
        ),
        _RESUME,
    )


def _why(folder: Folder, summary: FlowSummary) -> tuple[str, ...]:
    files = folder.phases.get(summary.failed_phase or "")
    code = f"Code {summary.failure_code}" if summary.failure_code else ""
    kind = f"{code} ({summary.failure_kind})" if summary.failure_kind else code
    said = ""
    if files is not None and files.evidence is not None and files.evidence.error:
        said = files.evidence.error.partition("\n")[0]
    elif files is not None and files.verdict is not None:
        said = files.verdict.halt_reason.partition("\n")[0]
    return tuple(text for text in (f"{kind}: {said}" if kind and said else kind or said,) if text)


def _suggested(folder: Folder, summary: FlowSummary) -> str:
    files = folder.phases.get(summary.failed_phase or "")
    if files is not None and files.verdict is not None:
        return files.verdict.suggested_next_command
    return _RESUME


def _skipped(halted: Sequence[Phase]) -> tuple[str, ...]:
    if not halted:
        return ()
    names = ", ".join(phase.code for phase in halted)
    return (f"Not run for it: {names}.",)


def _of_rows(rows: Sequence[Row]) -> tuple[str, ...]:
    """How the rows stand, where there are any that matter."""
    if not rows:
        return ("No sweep rows.",)
    if all(row.state == "not launched" for row in rows):
        return (f"None of {len(rows)} rows was launched.",)
    ok = sum(row.state == "success" for row in rows)
    failed = sum(row.state in FAILED for row in rows)
    open_ = len(rows) - ok - failed
    said = [f"{ok} of {len(rows)} rows trained to their end"]
    if failed:
        said.append(f"{failed} failed")
    if open_:
        said.append(f"{open_} have not ended as far as this flow saw")
    return ("; ".join(said) + ".",)


def _attach(rows: Sequence[Row]) -> str:
    """After a good flow that did not wait: how to come back."""
    running = any(row.state in ("running", "pending") for row in rows)
    return f"{_RESUME} --wf-wait=true --wf-fetch=all" if running else ""
