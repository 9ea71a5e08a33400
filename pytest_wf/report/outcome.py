"""A flow's outcome in words: its result, the reason, and the next step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_wf.court.next_command import (
    after_failed_rows,
    flow_command,
    trained_again,
    wf_command,
)
from pytest_wf.evidence.records import FlowSummary
from pytest_wf.report.folder import Folder, PhaseFiles
from pytest_wf.report.model import PageRow
from pytest_wf.report.phases import Phase
from pytest_wf.wire.states import (
    DRY_RUN,
    NOT_SELECTED,
    PENDING,
    ROW_ENDED,
    ROW_LEFT_OUT,
    RUNNING,
    count,
)

#: What is said of one row, and of several.
_FAILED_ROWS = ("failed", "failed")
_DRY = ("was not trained (dry run)", "were not trained (dry run)")
_OPEN = ("has not ended as far as this flow saw", "have not ended as far as this flow saw")
_LEFT = ("was not selected", "were not selected")

_CORRECT = "Correct the cause and commit it; the next command"


@dataclass(frozen=True)
class Outcome:
    """How a flow ended, in words.

    `outcome` is 'passed', 'failed', 'halted', 'interrupted', 'unfinished' or 'running'.
    """

    outcome: str
    headline: str
    explained: tuple[str, ...] = ()
    next_command: str = ""


def outcome_of(folder: Folder, phases: Sequence[Phase], rows: Sequence[PageRow]) -> Outcome:
    """The outcome of the flow. Without a summary it did not end: the text says how far it came.

    A flow whose evidence does not verify has not passed, whatever its records say.
    """
    if folder.summary is None:
        return _unfinished(folder, phases, rows)
    ended = _ended(folder, folder.summary, phases, rows)
    found = folder.verified.findings
    if not found:
        return ended
    more = f", and {len(found) - 1} more findings" if len(found) > 1 else ""
    explained = (f"The evidence does not verify: {found[0]}{more}.", *ended.explained)
    if not folder.summary.ok:
        return replace(ended, explained=explained)
    return Outcome("failed", "Not proven to have passed", explained, f"wf verify {folder.path}")


def running_outcome(phases: Sequence[Phase], rows: Sequence[PageRow]) -> Outcome:
    """The state of a running flow: in the first phase without any file."""
    at = next((phase for phase in phases if phase.status in ("none", "open")), None)
    where = f": {at.code} {at.name}" if at is not None else ""
    return Outcome("running", f"Running{where}", _of_rows(rows))


def _ended(
    folder: Folder, summary: FlowSummary, phases: Sequence[Phase], rows: Sequence[PageRow]
) -> Outcome:
    """The outcome of a flow that ended, from its summary."""
    if summary.ok:
        return Outcome("passed", "Passed", _of_rows(rows), _attach(folder, rows))
    by_code = {phase.code: phase for phase in phases}
    where = by_code.get(summary.failed_phase or "")
    name = f"{where.code} {where.name}" if where is not None else "an unknown phase"
    why = _why(folder, summary)
    if summary.failure_kind in ("row-failed", "row-expectation"):
        failed = [row.run_id for row in summary.rows if row.ok is False]
        selected = [row for row in summary.rows if row.state not in ROW_LEFT_OUT]
        one = len(selected) == 1
        said = "The row failed" if one else f"{len(failed)} of {len(selected)} rows failed"
        all_ended = all(row.state in ROW_ENDED for row in selected)
        again = after_failed_rows(_options(folder), all_ended=all_ended)
        if summary.failure_kind == "row-expectation" and failed:
            # a row that succeeded is not trained again automatically
            again = wf_command(f"wf logs {failed[0]}", _options(folder))
            return Outcome("failed", said, _of_rows(rows), again)
        does = trained_again(row.failure_class for row in summary.rows)
        text = " ".join((*_of_rows(rows), f"{_CORRECT} {does}."))
        return Outcome("failed", said, (text,), again)
    if summary.exit_code == 2:
        explained = (*why, *_of_rows(rows))
        again = _suggested(folder, summary)
        return Outcome("interrupted", f"Interrupted in {name}", explained, again)
    halted = [phase for phase in phases if phase.status == "halted"]
    verb = "Halted by" if halted else "Failed in"
    return Outcome(
        "halted" if halted else "failed",
        f"{verb} {name}",
        (*why, *_skipped(halted), *_of_rows(rows)),
        _suggested(folder, summary),
    )


def _unfinished(folder: Folder, phases: Sequence[Phase], rows: Sequence[PageRow]) -> Outcome:
    """How far a flow without a summary came: killed, still running, or damaged.

    The text does not guess beyond the records: all of a phase's work is between the verdict before
    it and its own evidence.
    """
    judged = [phase for phase in phases if phase.court != "none"]
    last = judged[-1] if judged else None
    later = [p for p in phases if p.court == "none" and (last is None or p.code > last.code)]
    at = later[0] if later else None
    if at is None:
        headline = "Not finished: its summary is missing"
        said = "All phases were judged; the summary was not written."
    elif at.status == "open":
        headline = f"Not finished: it ended in {at.code} {at.name}"
        said = f"{at.code} {at.name} has evidence and no verdict: it ended before its court did."
    else:
        headline = f"Not finished: it ended at {at.code} {at.name}"
        said = f"{at.code} {at.name} left no record: the flow ended in it or just before it."
    before = (
        f"The last verdict is {last.code} {last.name}'s: {last.court}."
        if last is not None
        else "No phase was judged."
    )
    code = at.code if at is not None else "P99"
    return Outcome(
        "unfinished",
        headline,
        (
            f"{said} {before} There is no flow.summary.json: it was killed, or is still running.",
            *_left_on_pod(folder, code),
            *_rows_left(rows, code),
        ),
        _again(folder, code),
    )


def _left_on_pod(folder: Folder, code: str) -> tuple[str, ...]:
    """What the records say about the pod, and what they do not."""
    said = []
    state = next(
        (
            (phase, files.evidence.fsm_after)
            for phase, files in reversed(list(folder.phases.items()))
            if files.evidence is not None and files.evidence.fsm_after
        ),
        None,
    )
    if state is not None:
        said.append(f"The pod's state was {state[1]} when {state[0]} last read it.")
    rented = folder.phases.get("P10", PhaseFiles()).evidence
    if code == "P10":
        said.append("Whether it has rented a pod is not recorded here: see `wf pod-list`.")
    elif rented is not None and rented.phase_status == "ok" and code <= "P90":
        said.append("Nothing says that the pod it rented was given back: see `wf pod-list`.")
    return (" ".join(said),) if said else ()


def _rows_left(rows: Sequence[PageRow], code: str) -> tuple[str, ...]:
    """What the records say about the rows of a flow that ended at phase `code`."""
    count = f"{len(rows)} row" + ("s" if len(rows) != 1 else "")
    if rows and all(row.state == "unknown" for row in rows):
        if code == "P60":
            return (f"Whether its {count} were launched is not recorded.",)
        return (f"Its {count} were launched; how they went on is not recorded here.",)
    return _of_rows(rows)


def _again(folder: Folder, code: str) -> str:
    """The command to continue with: the same flow again, or a resume."""
    options = _options(folder)
    if code == "P60":
        return wf_command("wf sweep-status", options)
    return flow_command(options, **({"sweep": "resume"} if code > "P60" else {}))


def _options(folder: Folder) -> dict[str, str]:
    """The recorded options of the flow."""
    return folder.start.options if folder.start is not None else {}


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
    """The command of the failed phase's verdict, as the terminal has it."""
    code = summary.failed_phase or "P99"
    verdict = folder.phases.get(code, PhaseFiles()).verdict
    return (verdict.suggested_next_command if verdict else "") or _again(folder, code)


def _skipped(halted: Sequence[Phase]) -> tuple[str, ...]:
    if not halted:
        return ()
    names = ", ".join(phase.code for phase in halted)
    return (f"Not run because of it: {names}.",)


def _of_rows(rows: Sequence[PageRow]) -> tuple[str, ...]:
    """A summary of the rows, if there are any that matter."""
    if not rows:
        return ("No sweep rows.",)
    if all(row.state == "not launched" for row in rows):
        none = f"None of {len(rows)} rows was" if len(rows) > 1 else "The row was not"
        return (f"{none} launched.",)
    states = [row.state for row in rows]
    counts, dry = count(states), states.count(DRY_RUN)
    left = states.count(NOT_SELECTED)
    selected = len(rows) - left
    ok, failed = counts["ok"], counts["failed"]
    which = "selected " if left else ""
    others = ((failed, _FAILED_ROWS), (dry, _DRY), (selected - ok - failed - dry, _OPEN))
    if selected == 1:
        said = [f"The {which}row " + next((words[0] for n, words in others if n), "is ok")]
    else:
        said = [f"{ok} of {selected} {which}rows are ok", *_counted(others)]
    return ("; ".join([*said, *_counted([(left, _LEFT)])]) + ".",)


def _counted(numbers: Iterable[tuple[int, tuple[str, str]]]) -> list[str]:
    """Each number of rows that is not 0, with its words for one row and for several."""
    return [f"{n} {words[n > 1]}" for n, words in numbers if n]


def _attach(folder: Folder, rows: Sequence[PageRow]) -> str:
    """After a passed flow that did not wait: the command to attach again."""
    running = any(row.state in (RUNNING, PENDING) for row in rows)
    resume = flow_command(_options(folder), sweep="resume", wait="true", fetch="all")
    return resume if running else ""
