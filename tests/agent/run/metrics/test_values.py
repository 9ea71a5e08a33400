"""The last values of a run's metrics."""

from __future__ import annotations

from pytest_wf.agent.run.metrics.values import MetricValues


def test_names_are_bounded() -> None:
    values = MetricValues()
    for number in range(2000):
        values.take(number, {f"n{number}": 1, "x" * 1000: 1})
    assert len(values.last) == 256
    assert len(values.progress() or {}) == 9


def test_a_report_may_say_how_many_steps_there_will_be() -> None:
    values = MetricValues()
    values.take(3, {"loss": 2.5, "max_steps": 200})
    assert values.total_steps == 200
