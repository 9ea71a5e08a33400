"""What is seen of a run while it runs: its newest line, its steps and how fast they come."""

from __future__ import annotations

import pytest

from pytest_wf.agent.run.watch.throughput import LINE_CHARS, WINDOW_S, Throughput


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def seen(pace: Throughput, clock: Clock, *looks: tuple[float, int | None]) -> float | None:
    for at, step in looks:
        clock.now = at
        pace.update(step, None, [])
    rate: float | None = pace.live()["steps_per_s"]
    return rate


def test_the_rate_is_that_of_the_last_minute() -> None:
    clock = Clock()
    pace = Throughput(clock)
    assert seen(pace, clock, (0, 0)) is None
    assert seen(pace, clock, (10, 100)) == 10.0
    late = [(10 + 5 * i, 100 + i) for i in range(1, int(WINDOW_S) // 5 + 3)]
    assert seen(pace, clock, *late) == pytest.approx(0.2)
    assert pace.live()["ran_s"] == clock.now


def test_a_run_that_begins_again_has_no_rate_until_it_goes_on() -> None:
    clock = Clock()
    pace = Throughput(clock)
    assert seen(pace, clock, (0, 50), (5, 60), (9, 3)) is None
    assert seen(pace, clock, (10, 3), (11, 5), (12, None)) == 1.0


def test_the_newest_line_that_says_something_is_shown_without_escapes() -> None:
    pace = Throughput()
    assert pace.update(None, None, ["one", "\x1b[31mtwo\x1b[0m\t2", "", "\x1b[2K\x1b]0;title\x07 "])
    assert pace.live()["line"] == "two 2"
    assert not pace.update(None, None, ["two 2"])
    assert pace.update(None, None, ["x" * 1000])
    assert pace.live()["line"] == "x" * LINE_CHARS
