"""The last values of a run's metrics."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics.values import MetricValues
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import Extremes


def test_names_are_bounded() -> None:
    values = MetricValues()
    for number in range(2000):
        values.take(number, {f"n{number}": 1, "x" * 1000: 1})
    assert len(values.summary()) == 256 + 1
    assert len(values.progress() or {}) == 9


def test_a_report_may_say_how_many_steps_there_will_be() -> None:
    values = MetricValues()
    values.take(3, {"loss": 2.5, "max_steps": 200})
    assert values.total_steps == 200


def test_the_extremes_of_a_metric_have_their_steps() -> None:
    values = MetricValues()
    for step, loss in enumerate([3.0, 1.5, 2.0, float("nan")]):
        values.take(step, {"loss": loss})
    assert values.extremes() == {"loss": Extremes(3, 1.5, 1, 3.0, 0)}
    assert values.summary() == {"loss": "nan", "step": 3}
    assert values.oddities() == ["loss: nan, not finite in 1 of 4 reports"]


def test_an_infinite_value_is_an_extreme_and_nan_is_none() -> None:
    values = MetricValues()
    for loss in (1.0, float("inf"), 2.0):
        values.take(None, {"loss": loss, "norm": float("nan")})
    assert values.extremes() == {"loss": Extremes(None, 1.0, None, "inf", None)}


def test_the_progress_shows_no_older_number_for_nan() -> None:
    values = MetricValues()
    values.take(1, {"loss": 1.0})
    values.take(2, {"loss": float("nan")})
    assert values.progress() == {"step": 2, "loss": "nan"}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_the_extremes_are_those_of_all_reports(reported: list[float]) -> None:
    values = MetricValues()
    for step, value in enumerate(reported):
        values.take(step, {"x": value})
    found = values.extremes()["x"]
    assert (found.min, found.max) == (min(reported), max(reported))
    assert reported[found.min_step or 0] == found.min


def test_a_secret_in_a_name_is_masked() -> None:
    values = MetricValues()
    values.mask = Redactor(["a-secret-word"]).text
    values.take(1, {"loss_a-secret-word": 2.5})

    assert values.summary() == {"loss_[redacted]": 2.5, "step": 1}
