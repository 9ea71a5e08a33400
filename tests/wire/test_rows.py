"""Rows on the wire: what is written can be read, and nothing else can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire.files import canonical_json, parse_json
from pytest_wf.wire.rows import (
    CampaignStatus,
    Extremes,
    FoundRun,
    Live,
    Malformed,
    Note,
    Row,
    RowStatus,
    RunResult,
    listed,
)

RESULT = RunResult("a", "success", True, 1, "c-1", "0" * 40, "config/a.py", 1, "").as_json()
ROW = Row(3, "a", "config/a.py", -1, "x='1 2'", ("x=1 2",), notes="n", gpus=2, line=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def through_json(record: Any) -> Any:
    """What the other side reads of `record`."""
    return type(record).from_json(parse_json(canonical_json(record.as_json())))


def test_a_row_is_the_same_on_the_other_side() -> None:
    assert through_json(ROW) == ROW


def test_a_field_that_is_not_known_is_ignored() -> None:
    assert Row.from_json({**ROW.as_json(), "colour": "red"}) == ROW


def test_the_extremes_of_metrics_are_the_same_on_the_other_side() -> None:
    found = {"loss": Extremes(9, 1.5, 4, "inf", None)}
    result = RunResult.from_json(RESULT)._replace(extremes=found)
    assert through_json(result) == result
    status = RowStatus("a", "pending").ended(result)
    assert through_json(status).measures == {"min(loss)": 1.5, "max(loss)": "inf"}


def test_the_sources_of_metrics_are_text() -> None:
    result = RunResult.from_json({**RESULT, "sources": {"loss": "metrics.csv"}})
    assert through_json(result).sources == {"loss": "metrics.csv"}
    with pytest.raises(Malformed, match="source"):
        RunResult.from_json({**RESULT, "sources": {"loss": 1}})


@pytest.mark.parametrize("value", [1, {"loss": 1}, {"loss": {"step": 1.5, "min": 1, "max": 2}}])
def test_extremes_of_the_wrong_type_are_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        RunResult.from_json({**RESULT, "extremes": value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", "../a"),
        ("run_id", None),
        ("config", "/etc/passwd"),
        ("config", "../a.py"),
        ("seed", True),
        ("seed", "1"),
        ("argv", ["a\0b"]),
        ("argv", [1]),
        ("argv", "a"),
        ("gpus", -1),
        ("gpus", 1.5),
        ("timeout_s", True),
        ("notes", 1),
        ("adopted_from", ["c-1"]),
    ],
)
def test_a_row_with_a_field_of_the_wrong_type_is_malformed(field: str, value: object) -> None:
    with pytest.raises(Malformed, match="a row|not a run id" if field == "run_id" else "^row a: "):
        Row.from_json({**ROW.as_json(), field: value})


@given(JSON)
def test_what_is_not_a_row_is_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        Row.from_json(value)


@pytest.mark.parametrize("field", Row._fields)
@given(value=JSON)
def test_a_row_is_read_or_malformed_whatever_a_field_holds(field: str, value: object) -> None:
    try:
        assert through_json(Row.from_json({**ROW.as_json(), field: value})) is not None
    except Malformed:
        pass


def test_a_live_row_is_the_same_on_the_other_side() -> None:
    status = RowStatus("a", "running", live=Live("step 3", ran_s=1.5, steps=100))
    assert through_json(status) == status


def test_a_number_out_of_range_in_a_live_row_costs_that_number_alone() -> None:
    status = RowStatus.from_json(
        {"run_id": "a", "state": "running", "live": {"steps": 9223372036854775807, "ran_s": 3.0}}
    )
    assert status.live == Live(ran_s=3.0, steps=None)


@pytest.mark.parametrize(
    "changes", [{"ok": False}, {"state": "failed"}, {"state": "running", "ok": False}]
)
def test_a_result_is_of_an_end_and_ok_only_where_that_is_a_success(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="row a: ok is"):
        RunResult.from_json({**RESULT, **changes})


def test_a_row_that_never_began_has_a_result_without_an_attempt() -> None:
    result = RunResult.from_json({**RESULT, "state": "failed", "ok": False, "attempts": 0})
    assert result.attempts == 0


def test_a_field_that_has_to_be_a_list_is_malformed_without_one() -> None:
    with pytest.raises(Malformed, match="rows is not a list"):
        listed({"rows": None}, "rows", RowStatus.from_json)
    assert listed({"rows": []}, "rows", RowStatus.from_json) == []


@pytest.mark.parametrize("attempts", [-1, None, "1", 1.0])
def test_a_result_needs_a_whole_number_of_attempts(attempts: object) -> None:
    with pytest.raises(Malformed, match="attempts"):
        RunResult.from_json({**RESULT, "attempts": attempts})


@pytest.mark.parametrize(
    "changes", [{"path": "../a"}, {"path": "/a"}, {"campaign_id": "c 1"}, {"path": None}]
)
def test_a_found_run_has_a_path_below_the_outputs_and_a_campaign(changes: dict[str, Any]) -> None:
    found = {"path": "a", "campaign_id": "c-1", "state": "success"}
    assert FoundRun.from_json(found) == FoundRun("a", "c-1", "success")
    with pytest.raises(Malformed):
        FoundRun.from_json({**found, **changes})


def test_a_campaign_is_the_same_on_the_other_side() -> None:
    rows = [RowStatus("a", "failed"), RowStatus("b", "running")]
    status = CampaignStatus(
        *("c-1", "at", "f-1", "0" * 40, False, "d" * 64, "alive", "SWEEP_RUNNING", "", None, rows)
    )
    assert through_json(status) == status
    assert (status.failed, status.in_progress) == (1, 1)
    with pytest.raises(Malformed, match="no supervisor is 'asleep'"):
        CampaignStatus.from_json({**status.as_json(), "supervisor": "asleep"})


def test_the_notes_of_a_row_are_the_same_on_the_other_side() -> None:
    status = RowStatus("a", "success", notes=(Note("late-writer", "1 process was ended"),))
    assert through_json(status) == status


@pytest.mark.parametrize(
    "notes", [None, "text", ["text"], [{"code": "a b", "text": ""}], [{"code": "nan"}]]
)
def test_notes_of_another_form_are_malformed(notes: object) -> None:
    with pytest.raises(Malformed):
        RunResult.from_json({**RESULT, "notes": notes})
