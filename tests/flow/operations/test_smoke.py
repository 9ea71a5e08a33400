"""What P60 says of its smoke run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.smoke import smoke
from pytest_wf.wire.rows import RunResult

BAD = RunResult("a", "failed", False, 1, "smoke-1", "", "c", 1, "", 3, "oom", "no memory is left")


def smoked(answer: dict[str, Any]) -> Any:
    """The result of a smoke run to which the pod gave `answer`."""
    session: Any = SimpleNamespace(request_to_its_end=lambda op, args, show: answer)
    return smoke(session, {})


def test_a_start_that_trains_nothing_has_no_smoke_run() -> None:
    assert smoked({"result": None}).line == "no smoke run: all rows are adopted"


def test_a_good_one_is_one_line_and_a_log() -> None:
    good = BAD._replace(state="success", ok=True, exit_code=0, duration_s=61.2)
    result = smoked({"result": good.as_json(), "log_tail": ["step 1", "step 2"]})
    assert result.line == "the smoke run of row a succeeded after 1 min"
    assert result.artifacts[0].content == b"step 1\nstep 2\n"


def test_a_bad_one_says_why_and_where_its_log_is() -> None:
    answer = {"result": BAD.as_json(), "log_tail": ["RuntimeError: a\x1b[31m"], "log": "/o/log"}
    with pytest.raises(OperationFailed) as failed:
        smoked(answer)
    assert failed.value.kind == "smoke-failed"
    assert failed.value.message == (
        "the smoke run of row a failed, class oom, exit status 3: no memory is left; "
        "its log, /o/log on the pod, ends: RuntimeError: a."
    )
    assert failed.value.facts["result"]["failure_class"] == "oom"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"result": {}},
        {"result": dict(BAD.as_json(), ok=True), "log_tail": []},
        {"result": BAD.as_json(), "log_tail": "x"},
    ],
)
def test_what_is_no_answer_is_hostile(answer: dict[str, Any]) -> None:
    with pytest.raises(OperationFailed) as failed:
        smoked(answer)
    assert failed.value.kind == "hostile-answer"
