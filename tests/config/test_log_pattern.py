"""Which regular expressions METRICS_LOG_PATTERN may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.config import reader
from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.log_pattern import LOG_PATTERN
from pytest_wf.config.types import BadValue

REQUIRED = (
    "REPO_URL=.\nOPS_DEFAULT_HOST=local\nOPS_REMOTE_REPO=/mnt/r\nOPS_REMOTE_OUTPUTS_DIR=/mnt/o\n"
)


def refusal(pattern: str) -> str:
    """Why a pattern is refused, and what to do; '' where it is not."""
    try:
        LOG_PATTERN.parse(pattern)
    except BadValue as e:
        return f"{e.reason} {e.remedy}"
    return ""


@pytest.mark.parametrize(
    "pattern",
    [
        r"loss=(?P<loss>\S+)",
        r"^Ep (?P<epoch>\d+) \| It (?P<step>\d+)",
        r"step (?P<step>\d+).*loss=(?P<loss>\S+)",
        r"step (?P<step>\d+).*?loss=(?P<loss>[\d.]+).*?acc=(?P<acc>[\d.]+)$",
        r"step (?P<step>\d+) .*loss=(?P<loss>\S+) .*acc=(?P<acc>\S+)",
        r"loss=(?P<loss>\S+)|acc=(?P<acc>\S+)|lr=(?P<lr>\S+)|step=(?P<step>\S+)",
        r"(?P<name>[a-z_]+)\s*[:=]\s*(?P<value>\S+)",
        r"(?i)(?:train|test|val)[ _]loss: (?P<loss>\S+)",
        r"loss (?P<loss>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\b",
        r"(?:\[\w+\] )*step (?P<step>\d+)",
        r"tokens (?P<tokens>\d{1,3}(?:,\d{3})*)(?! of)",
    ],
)
def test_a_pattern_that_takes_bounded_time_is_accepted(pattern: str) -> None:
    assert refusal(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        (r"(?P<a>(x+)+)y", "repeat 2, x+,"),
        (r"(?P<a>(x*)*)y", "repeat 1, (x*)*,"),
        (r"(?P<a>(?:x|x)*)y", "alternatives in a repeat that begin alike"),
        (r"(?P<a>(?:x|xy|y)*)z", "x|xy|y"),
        (r"(?P<a>(?:\w+ ?)*):", r"repeat 2, \w+,"),
        (r"(?P<a>(?:x?){40})y", "repeat 1, (?:x?){40},"),
        (r"a.*b.*c(?P<x>.*)d", "repeat 3, .*,"),
        (r"a(?P<a>\S+).*b(?P<b>\S+).*c", r"repeat 3, \S+,"),
        (r"(?P<x>a?a?a?aaa)b", "repeat 3, a?,"),
        (r"[^=]*(?P<x>\w*)[a-z]*!", "repeat 3, [a-z]*,"),
    ],
)
def test_a_pattern_that_may_take_very_long_is_refused_with_the_part(
    pattern: str, part: str
) -> None:
    assert part in refusal(pattern)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("loss=(?P<loss>", "missing ), unterminated subpattern"),
        ("loss=.*", "without a named group"),
        (r"(?P<name>\w+)", "without 'value'"),
        (r"loss (?P<value>\S+)", "without 'name'"),
        (r"(?P<x>a)(?P=x)", "a reference to a group"),
        (r"(?P<x>a)?(?(x)b|c)", "a condition on a group"),
        (r"(?P<x>a)(?=.*b)", "in a lookahead"),
        ("(?P<x>[[a])", "read otherwise by other versions"),
        ("(?P<x>" + "a" * 1000 + ")", "longer than 1000"),
        ("(?P<x>a)" + "(?:bc|[bx]d)" * 9, "too many alternatives"),
    ],
)
def test_what_is_no_pattern_for_metrics_is_refused_with_the_reason(pattern: str, why: str) -> None:
    assert why in refusal(pattern)


@given(st.text(alphabet=r"ab.*+?()[]{}|\^$<>P=!:,0123dwsS", max_size=30))
def test_any_text_is_accepted_or_refused_with_a_reason_and_a_remedy(text: str) -> None:
    for pattern in (text, f"(?P<x>{text})", f"(?P<x>a{text})b"):
        assert len(refusal(pattern)) != 1


def test_a_pattern_is_taken_as_it_is_written() -> None:
    line = r"""METRICS_LOG_PATTERN='^"loss" \$(?P<loss>[^`$]+)${X}$'"""
    reading = read_entries(f"{REQUIRED}{line}\n".encode(), "w.env")
    config = reader.load(reading, project_dir="/p", needs_csv=False)
    assert config.metrics_log_pattern == line.partition("=")[2][1:-1]
    assert config.values["METRICS_LOG_PATTERN"] == config.metrics_log_pattern
