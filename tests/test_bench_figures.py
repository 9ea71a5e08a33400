"""Figures of benchmarks: in what order they are measured, and how two runs are compared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.bench import compare
from tests.support.bench.cpu import Group
from tests.support.bench.figures import WALL, Figures, Spread, Way, alternate


def test_ways_are_measured_in_turn_and_every_second_round_backwards() -> None:
    order: list[str] = []

    def way(name: str) -> Way:
        def run(number: int) -> Mapping[str, float]:
            order.append(f"{name}{number}")
            return {WALL: 1.0}

        return run

    costs = alternate({"a": way("a"), "b": way("b")}, 3)
    assert order == ["a0", "b0", "b1", "a1", "a2", "b2"]
    assert [len(times) for times in costs.values()] == [3, 3]


def test_a_table_shows_medians_spread_and_ratios_of_pairs() -> None:
    shown: list[str] = []
    ours = [{WALL: 2.0}, {WALL: 4.0}, {WALL: 3.0}]
    theirs = [{WALL: 1.0}, {WALL: 1.0}, {WALL: 2.0}]
    Figures(shown.append).add("work", {"ours": ours, "theirs": theirs})
    lines = [line.split() for line in shown[0].splitlines()]
    assert ["ours", "3", "(2-4)"] in lines
    assert ["theirs", "1", "(1-2)", "2", "(1.5-4)"] in lines


def test_what_is_missing_is_named_once() -> None:
    shown: list[str] = []
    figures = Figures(shown.append)
    for _ in range(2):
        figures.miss("GNU parallel", "the program is not installed")
    assert len(shown) == 1
    assert figures.as_json()["missing"] == {"GNU parallel": "the program is not installed"}


def test_two_files_of_figures_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("a", 2.0), ("b", 3.0)):
        figures = Figures(lambda _: None)
        figures.add("work", {"ours": [{WALL: value}]})
        figures.add(f"only {name}", {"ours": [{WALL: value}]})
        figures.write(tmp_path / f"{name}.json")
    assert compare.main([str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    printed = capsys.readouterr().out
    assert "work / ours / wall s              2              3     1.50" in printed
    assert "only a / ours / wall s" in printed.partition("only in")[2]


def test_values_of_several_rounds_are_put_together() -> None:
    figure = {"benchmark": "b", "way": "w", "quantity": "q", "values": [1.0]}
    found = compare.collected([{"figures": [figure]}, {"figures": [figure]}])
    assert found == {("b", "w", "q"): [1.0, 1.0]}


@pytest.mark.parametrize(
    ("values", "text"), [([2.0], "2"), ([1.5, 2.5, 9.0], "2.5 (1.5-9)"), ([0.1234], "0.123")]
)
def test_a_spread_is_short(values: list[float], text: str) -> None:
    assert str(Spread(values)) == text


def test_a_group_counts_processes_that_were_detached() -> None:
    group = Group()
    spend = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    try:
        words = [*group.inside, "setsid", "--wait", sys.executable, "-c", spend]
        before = group.cpu_s()
        subprocess.run(words, check=True)
        assert group.cpu_s() - before >= 0.2
    finally:
        group.close()
