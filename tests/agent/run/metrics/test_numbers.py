"""A number in text is taken whole, or not at all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics.numbers import number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5", 1234.5),
        ("12,345", 12345),
        ("-1,234,567.25", -1234567.25),
        ("1_000", 1000),
        ("1.5k", 1500),
        ("12K", 12000),
        ("1.2M", 1.2e6),
        ("3G", 3e9),
        ("1e-3", 0.001),
        ("1E+05", 100000),
        (".5", 0.5),
        ("5.", 5),
        ("1.25.", 1.25),
        ("+0.5", 0.5),
        ("100%", 100),
        ("12.5ms", 12.5),
        ("3s", 3),
        ("2h", 2),
        ("512MB", 512),
        ("1.5GiB", 1.5),
        ("12kB", 12),
        ("3GHz", 3),
        ("9.5tok/s", 9.5),
        ("12ktok/s", 12000),
        ("1.5Mtokens/s", 1.5e6),
        ("250ms/step", 250),
    ],
)
def test_a_whole_number_is_taken(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("1,5", "12,34", "0,123", "1,234,56", "1,2345", "1_00", "1__000", "1,234_567"),
        *("1.2.3", "10.0.0.1", "2026-11-28", "12:30", "12:30:05.5", "3/10", "0x1f", "1e", "e5"),
        *("12abc", "12m", "3B", "5kk", "1.5x", "1-2", "--5", "5-", "~5", "<5", "(5)", "[1.0"),
        *(
            "1.5..",
            "1.5...",
            "1.5…",
            "1'234.5",
            "1\u00a0234.5",
            "1\u202f234",
            "\u22125",
        ),
        *(
            "\uff11\uff12",
            "٣",
            "²",
            "½",
            "1e5.5",
            "1ek",
            "",
            ".",
            "-",
            "+",
            "k",
            "%",
            "nano",
            "infer",
        ),
    ],
)
def test_what_is_no_number_or_may_be_two_is_not_taken(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize("text", "nan NaN NAN -nan +nan nan(ind) -nan(ind) 1.#QNAN -1.#IND".split())
def test_nan_in_any_spelling_is_nan(text: str) -> None:
    found = number(text)
    assert found is not None and math.isnan(found)


@pytest.mark.parametrize("text", ["inf", "Infinity", "+INF", "1.#INF", "∞", "1e999"])
def test_infinity_in_any_spelling_is_infinite(text: str) -> None:
    assert number(text) == math.inf
    assert number("-" + text.lstrip("+")) == -math.inf


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_is_read_as_it_was(value: float) -> None:
    assert number(repr(value)) == value
    assert number(f"{value}ms") == value


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_thousands_part_a_number_and_do_not_change_it(whole: int, digits: int) -> None:
    value = whole / 10**digits
    assert number(f"{value:,.{digits}f}") == float(f"{value:.{digits}f}")
    assert number(f"{whole:_}") == whole


@given(st.integers(1, 999), st.integers(0, 99999).filter(lambda n: len(str(n)) != 3))
def test_a_comma_that_parts_no_thousands_makes_no_number(before: int, after: int) -> None:
    assert number(f"{before},{after}") is None


@given(st.text(alphabet="0123456789.,_eE+-kMG%msnaif:/ x\uff4b\uff11\u0663\u00a0", max_size=12))
def test_no_text_is_taken_in_part(text: str) -> None:
    found = number(text)
    if found and math.isfinite(found):
        mantissa = text.lower().partition("e")[0]
        digits = "".join(c for c in mantissa if c in "0123456789").strip("0")
        assert digits[:15] == f"{abs(found):.14e}".partition("e")[0].replace(".", "").strip("0")
