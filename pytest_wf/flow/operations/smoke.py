"""The smoke run before a sweep starts: its first row, shortened by SMOKE_OVERRIDES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_wf.console.progress import span
from pytest_wf.errors import OperationFailed
from pytest_wf.fetch.announced_files import hostile
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import operations
from pytest_wf.wire.process import exit_status
from pytest_wf.wire.rows import Malformed, RunResult, listed
from pytest_wf.wire.safe_text import excerpt, readable

#: The number of lines of its log that a message has.
_SHOWN_CHARS = 1000


def smoke(
    session: PodSession, start: Mapping[str, Any], show: Callable[[str], None] | None = None
) -> Result:
    """Run the first row that a start with these arguments would train, in shortened form.

    Raises OperationFailed('smoke-failed') if it failed, and the errors with which the start itself
    would be refused.
    """
    facts = session.request_to_its_end(operations.SMOKE, start, show)
    if show is not None:
        show("")
    try:
        if facts["result"] is None:
            return Result("smoke", {**facts, "line": "no smoke run: all rows are adopted"})
        result = RunResult.from_json(facts["result"])
        tail = [readable(line) for line in listed(facts, "log_tail", str)]
    except (LookupError, Malformed) as e:
        raise hostile(f"its smoke run: {e}") from None
    if not result.ok:
        raise _failed(result, tail, facts)
    took = "" if result.duration_s is None else f" after {span(result.duration_s)}"
    line = f"the smoke run of row {result.run_id} succeeded{took}"
    log = "".join(line + "\n" for line in tail).encode()
    artifacts = (ArtifactNote("smoke-log", "smoke.log", content=log),) if log else ()
    return Result("smoke", {**facts, "line": line}, artifacts=artifacts)


def _failed(result: RunResult, tail: list[str], facts: Mapping[str, Any]) -> OperationFailed:
    how = f"{result.state}, class {result.failure_class}"
    if result.exit_code is not None:
        how += f", {exit_status(result.exit_code)}"
    said = excerpt("\n".join(tail), _SHOWN_CHARS)
    log = f"; its log, {facts.get('log')} on the pod, ends: {said}" if said else ""
    return OperationFailed(
        "smoke-failed",
        f"the smoke run of row {result.run_id} {how}: {result.reason}{log}.",
        "No row of the sweep has begun. Correct the row, the trainer or SMOKE_OVERRIDES, "
        "then start again.",
        dict(facts),
    )
