"""Metrics by the user's own pattern, beside those of the grammar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics.log.lines import LogLines
from pytest_wf.agent.run.metrics.numbers import number
from pytest_wf.agent.run.metrics.reader import Run
from pytest_wf.agent.run.metrics.sources import RunMetrics


def summary_of(pattern: str, *lines: str) -> dict[str, Any]:
    """What a run reported that printed `lines`."""
    reader = LogLines(Run("", log_pattern=pattern))
    reader.take_log("\n".join(lines))
    return reader.values.summary()


def test_the_groups_of_a_pattern_are_metrics_by_name() -> None:
    pattern = r"^Ep (?P<epoch>\d+) \| It (?P<step>\d+) took (?P<took>\S+)"
    assert summary_of(pattern, "Ep 3 | It 100 took 2.5ms") == {
        "step": 100,
        "epoch": 3,
        "took": 2.5,
    }


def test_all_matches_in_a_line_count_and_of_each_name_the_first() -> None:
    pattern = r"a=(?P<a>\S+)|b=(?P<b>\S+)"
    assert summary_of(pattern, "b=2 a=1 b=3") == {"step": 1, "a": 1, "b": 2}


def test_a_name_and_a_value_are_a_pair() -> None:
    pattern = r"<(?P<name>[a-z ]+)> (?P<value>\S+)"
    assert summary_of(pattern, "<my gap> 0.5 <rate> 1,200") == {
        "step": 1,
        "my_gap": 0.5,
        "rate": 1200,
    }


def test_what_the_grammar_finds_under_other_names_counts_too() -> None:
    pattern = r"It (?P<step>\d+)"
    assert summary_of(pattern, "It 7 | loss 2.5", "lr 3", "loss 2.25") == {"step": 7, "loss": 2.25}


def test_what_the_pattern_names_comes_from_it_alone() -> None:
    pattern = r"\[eval\] loss=(?P<loss>\S+)"
    lines = ("step 1: Loss 2.5", "[eval] loss=3.5", "step 2: loss 1.5, lr 1")
    assert summary_of(pattern, *lines) == {"step": 2, "loss": 3.5, "lr": 1}


def test_what_the_pattern_names_is_not_taken_of_a_table() -> None:
    pattern = r"^<(?P<loss>\S+)>$"
    frame = ("| Loss | 2.5 |", "| acc | 0.5 |", "-----")
    assert summary_of(pattern, "<1.5>", *frame) == {"step": 2, "loss": 1.5, "acc": 0.5}


def test_a_line_with_a_step_alone_gives_the_step_of_the_lines_behind() -> None:
    pattern = r"== (?P<step>\d+) =="
    assert summary_of(pattern, "== 40 ==", "loss 2.5") == {"step": 40, "loss": 2.5}


@pytest.mark.parametrize("line", ["loss 12.5", "loss 1234", "loss 12e3", "loss 12,5", "loss -3.12"])
def test_half_a_number_is_none(line: str) -> None:
    for pattern in (r"loss (?P<x>1\d)", r"(?P<x>12?$)", r"(?P<x>[2345]+$)"):
        assert "x" not in summary_of(pattern, line)


@given(st.text(alphabet="0123456789.,e-", min_size=1, max_size=9), st.integers(1, 9))
def test_no_number_is_taken_in_part(text: str, most: int) -> None:
    found = summary_of(rf"loss (?P<x>\S{{1,{most}}})", f"loss {text}").get("x")
    assert found is None or number(text) in (None, float(found))


def test_what_is_no_number_where_one_was_is_nan() -> None:
    pattern = r"gap (?P<gap>\S+)"
    assert summary_of(pattern, "gap none") == {"step": 1}
    assert summary_of(pattern, "gap 1.5", "gap -") == {"step": 2, "gap": "nan"}


def test_terminal_colours_are_gone_before_the_pattern_is_searched() -> None:
    assert summary_of(r"^gap (?P<gap>\S+)$", "\x1b[31mgap 1.5\x1b[0m") == {"step": 1, "gap": 1.5}


def test_a_run_has_the_pattern_of_its_config(tmp_path: Path) -> None:
    metrics = RunMetrics(str(tmp_path), log_pattern=r"gap (?P<gap>\S+)")
    metrics.take_log("gap 1.5")
    assert metrics.values.summary() == {"step": 1, "gap": 1.5}
