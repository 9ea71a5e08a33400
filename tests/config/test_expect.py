"""The grammar of expectations, and what holds a row against them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.config import expect
from pytest_wf.config.types import BadValue
from pytest_wf.wire.rows import Extremes, measures

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_./@:%-]{0,20}", fullmatch=True)
OPS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
BLANK = st.text(" \t", max_size=2)


def held(text: str, metrics: dict[str, Any], baseline: dict[str, Any] | None = None) -> list[bool]:
    return [j.ok for j in expect.judge(expect.parse(text), metrics, baseline or {})]


@pytest.mark.parametrize(
    ("text", "value", "ok"),
    [
        ("loss<3.3", 3.2999, True),
        ("loss<3.3", 3.3, False),
        ("loss<=3.3", 3.3, True),
        ("loss>3.3", 3.3, False),
        ("loss >= 3.3", 3.3, True),
        ("loss==3", 3, True),
        ("loss==3", 3.0000001, False),
        ("loss!=3", 4, True),
        ("loss!=3", 3, False),
        ("loss>-1e-3", 0, True),
        ("loss<.5", 0.4, True),
        ("loss<+5.", 4, True),
    ],
)
def test_a_number_is_compared_as_written(text: str, value: float, ok: bool) -> None:
    assert held(text, {"loss": value}) == [ok]


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("min(val_loss)<3.3", True),
        ("min( val_loss ) < 3.0", False),
        ("max(val_loss)<9", False),
        ("max(val_loss)<=9", True),
        ("last(val_loss)>3.3", True),
        ("VAL_LOSS==4", True),
        ("MAX_LOSS<9", False),
        ("min(lr)<1", False),
    ],
)
def test_a_condition_may_be_on_an_extreme(text: str, ok: bool) -> None:
    extremes = {"val_loss": Extremes(9, 3.2, 4, 9.0, 1)}
    assert held(text, measures({"val_loss": 4}, extremes)) == [ok]


def test_an_extreme_that_is_infinite_meets_nothing() -> None:
    found = measures({"loss": 1.0}, {"loss": Extremes(3, 1.0, 1, "inf", 2)})
    assert held("max(loss)<10; max(loss)>10; min(loss)<=1", found) == [False, False, True]


def test_a_baseline_of_an_extreme_is_the_extreme_of_the_baseline() -> None:
    assert held("min(loss)<=1.1*baseline", {"min(loss)": 2.1}, {"min(loss)": 2, "loss": 1}) == [
        True
    ]


def test_a_name_that_differs_by_case_from_two_names_is_neither() -> None:
    assert held("LOSS<3; Loss<3", {"loss": 1, "Loss": 2}) == [False, True]


ODD = [math.nan, math.inf, -math.inf, "nan", "inf", "3", None, True, [3], {"a": 3}, 10**400]


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("value", ODD, ids=[f"{type(v).__name__} {str(v)[:9]}" for v in ODD])
def test_what_is_no_finite_number_meets_nothing(op: str, value: object) -> None:
    assert held(f"loss{op}3", {"loss": value}) == [False]
    assert held(f"loss{op}baseline", {"loss": 3}, {"loss": value}) == [False]


def test_a_metric_that_is_missing_meets_nothing_and_is_told_as_that() -> None:
    (judged,) = expect.judge(expect.parse("val_loss!=3"), {"loss": 4}, {})
    assert not judged.ok
    assert str(judged) == "expected val_loss!=3, was not reported"


@pytest.mark.parametrize(
    ("text", "value", "ok"),
    [
        ("rate>=0.95*baseline", 950, True),
        ("rate >= 0.95 * baseline", 949.9, False),
        ("rate>=baseline", 1000, True),
        ("rate>baseline", 1000, False),
        ("rate<1.1*baseline", 1099, True),
    ],
)
def test_a_baseline_is_the_rows_own_value_times_a_factor(text: str, value: float, ok: bool) -> None:
    assert held(text, {"rate": value}, {"rate": 1000.0}) == [ok]
    assert held(text, {"rate": value}) == [False]


def test_what_is_told_is_the_clause_what_it_comes_to_and_what_was() -> None:
    clauses = expect.parse("loss < 3.3; rate>=0.95*baseline; x<baseline; y<1; z<0.3")
    metrics = {"loss": 3.5, "rate": 900.0, "x": 1, "y": "nan", "z": 0.1 + 0.2}
    told = [str(judged) for judged in expect.judge(clauses, metrics, {"rate": 1000})]
    assert told == [
        "expected loss<3.3, was 3.5",
        "expected rate>=0.95*baseline (950), was 900",
        "expected x<baseline (there is no baseline), was 1",
        "expected y<1, was nan",
        "expected z<0.3, was 0.30000000000000004",
    ]


@given(NAMES, OPS, FINITE, BLANK)
def test_what_is_well_written_is_read_back(name: str, op: str, number: float, blank: str) -> None:
    (clause,) = expect.parse(f"{blank}{name}{blank}{op}{blank}{number!r}{blank};")
    assert (clause.metric, clause.op, clause.number, clause.is_relative) == (
        name,
        op,
        number,
        False,
    )
    assert expect.parse(clause.text) == (clause,)


@given(NAMES, OPS, FINITE, FINITE)
def test_a_judgement_is_what_python_says(name: str, op: str, bound: float, value: float) -> None:
    said = {
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
        "==": value == bound,
        "!=": value != bound,
    }[op]
    assert held(f"{name}{op}{bound!r}", {name: value}) == [said]
    assert held(f"{name}{op}baseline", {name: value}, {name: bound}) == [said]


@given(st.text(max_size=60))
def test_any_other_text_is_refused_and_never_run(text: str) -> None:
    try:
        clauses = expect.parse(text)
    except BadValue:
        return
    assert all(clause.text and math.isfinite(clause.number) for clause in clauses)
    assert not (text.strip() and not clauses)


@pytest.mark.parametrize(
    "text",
    [
        "low",
        "loss",
        "loss<",
        "<3",
        "loss<3,rate>2",
        "loss=3",
        "loss=<3",
        "loss<three",
        "3<loss",
        "loss<1e999",
        "loss<nan",
        "loss<baseline*2",
        "loss<2*baseline*2",
        "loss<2*rate",
        "loss<0x10",
        "loss<1_000",
        "loss<\u0663",
        "__import__('os')<3",
        "loss<3 and rate>2",
        ";",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="condition"):
        expect.parse(text)


def test_every_wrong_clause_is_named_at_once() -> None:
    with pytest.raises(BadValue) as refused:
        expect.parse("low; loss<3; rate=>2; x<")
    assert refused.value.reason == "'low', 'rate=>2', 'x<' are not conditions on metrics."


@pytest.mark.parametrize(("count", "more"), [(8, ""), (9, " and 1 more"), (20, " and 12 more")])
def test_of_many_wrong_clauses_the_first_are_named_and_the_others_counted(
    count: int, more: str
) -> None:
    with pytest.raises(BadValue) as refused:
        expect.parse(";".join("abcdefghijklmnopqrst"[:count]))
    named = ", ".join(map(repr, "abcdefgh"))
    assert refused.value.reason == f"{named}{more} are not conditions on metrics."


def test_a_long_text_in_place_of_a_number_is_told_cut() -> None:
    (judged,) = expect.judge(expect.parse("loss<3"), {"loss": "x" * 100}, {})
    assert judged.was == "x" * 40


def test_a_clause_of_another_version_is_one_that_nothing_meets() -> None:
    clauses = expect.clauses_of("loss<3", "median(loss)<3\x1b[2J")
    judged = expect.judge(clauses, {"loss": 1}, {"": 1})
    assert [j.ok for j in judged] == [True, False]
    assert "\x1b" not in str(judged[1])


def test_a_judgement_that_was_bent_is_not_what_it_has_to_be() -> None:
    clauses = expect.parse("loss<3; rate>=baseline")
    metrics = {"loss": 3.5, "rate": 9}
    recorded = [j.as_data() for j in expect.judge(clauses, metrics, {"rate": 8})]
    assert expect.rejudged(clauses, metrics, recorded) == recorded
    bent = [{**recorded[0], "ok": True}, recorded[1]]
    assert expect.rejudged(clauses, metrics, bent) != bent
    for lost in ([], recorded[:1], None, "none"):
        assert expect.rejudged(clauses, metrics, lost) != lost
