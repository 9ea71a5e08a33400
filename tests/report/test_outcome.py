"""What the page says of the rows of a flow."""

from __future__ import annotations

import pytest

from pytest_wf.report.model import PageRow
from pytest_wf.report.outcome import running_outcome


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ("", "No sweep rows."),
        ("success", "The row is ok."),
        ("failed", "The row failed."),
        ("running", "The row has not ended as far as this flow saw."),
        ("not-launched", "The row was not launched."),
        ("success not_selected", "The selected row is ok; 1 was not selected."),
        ("success success", "2 of 2 rows are ok."),
        ("success failed running", "1 of 3 rows are ok; 1 failed; 1 has not ended as far as"),
        ("success success not_selected", "2 of 2 selected rows are ok; 1 was not selected."),
        ("not-launched not-launched", "None of 2 rows was launched."),
    ],
)
def test_the_rows_of_a_flow_in_words(states: str, said: str) -> None:
    rows = [
        PageRow(str(n), 0, n, state=state.replace("-", " "))
        for n, state in enumerate(states.split())
    ]
    (found,) = running_outcome([], rows).explained
    assert found.startswith(said)
