"""What a flow may spend, has spent, and will probably spend."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.money.budget import FIRST, Budget, PricedPod, estimate
from pytest_wf.wire.rows import Live, RowStatus

NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def row(run_id: str, state: str, **more: Any) -> RowStatus:
    return RowStatus(run_id, state, **more)


def test_the_rest_of_the_money_is_a_number_of_seconds_of_all_pods_together() -> None:
    budget = Budget(10.0, (PricedPod(2.0, at(0)), PricedPod(3.0, at(0))))
    assert budget.spent(at(1)) == 5.0
    assert budget.ceiling(at(1)) == {"name": "WF_MAX_USD=10", "seconds": 3600.0}


@pytest.mark.parametrize("hours", [5, 7])
def test_a_flow_that_has_spent_its_money_begins_no_row(hours: float) -> None:
    with pytest.raises(OperationFailed, match=r"WF_MAX_USD=10 is spent: \$1.\.00 at \$2/h") as e:
        Budget(10.0, (PricedPod(2.0, at(0)),)).ceiling(at(hours))
    assert e.value.kind == "budget"


@given(
    st.floats(0.01, 1000),
    st.lists(st.tuples(st.floats(0.01, 50), st.floats(0, 100)), min_size=1, max_size=5),
    st.floats(0, 100),
)
def test_at_the_ceiling_the_pods_have_cost_what_was_allowed(
    limit: float, pods: list[tuple[float, float]], now: float
) -> None:
    budget = Budget(limit, [PricedPod(price, at(-since)) for price, since in pods])
    if not budget.left(at(now)):
        return
    seconds = budget.ceiling(at(now))["seconds"]
    assert budget.spent(at(now + seconds / 3600)) == pytest.approx(limit, abs=0.01)


def test_the_time_of_rows_that_ended_well_tells_that_of_the_others() -> None:
    rows = [
        row("a", "success", ok=True, duration_s=100.0),
        row("b", "failed", ok=False, duration_s=1.0),
        row("c", "running", live=Live(ran_s=40.0)),
        row("d", "pending"),
    ]
    found = estimate(rows, usd_per_hour=3.6, source=FIRST)
    assert found is not None
    assert (found.rows, found.seconds, found.usd) == (2, 160.0, 0.16)
    assert str(found) == (
        "estimate: 2 rows to end in about 2 min, $0.16 (1 min a row, by the first row that ended)"
    )


def test_rows_that_share_the_pod_cost_their_share() -> None:
    rows = [row("a", "success", ok=True, duration_s=100.0, gpus=[0, 1]), row("b", "pending")]
    found = estimate(rows, gpus=8)
    assert found is not None and found.seconds == 25.0


def test_an_estimate_says_when_the_money_will_not_do() -> None:
    rows = [row("a", "success", ok=True, duration_s=3600.0), row("b", "pending")]
    found = estimate(rows, usd_per_hour=2.0, left_usd=1.5)
    assert found is not None and found.is_too_dear
    assert str(found).endswith("; $1.50 may still be spent: not all rows will begin")


@pytest.mark.parametrize("states", [["pending", "pending"], ["success"], ["failed", "pending"]])
def test_there_is_no_estimate_without_a_known_time_or_a_row_left(states: list[str]) -> None:
    rows = [row(f"r{n}", state, duration_s=None) for n, state in enumerate(states)]
    assert estimate(rows) is None
