"""When a flow says what its sweep will cost. The flow is a fake."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import cast

from pytest_wf.flow.money.spending import Estimates
from pytest_wf.flow.state import FlowState
from pytest_wf.wire.rows import RowStatus


class _Sweep:
    """A sweep whose status, when it is received, shows rows to the estimates of its flow."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.watched = SimpleNamespace(selected=[RowStatus("b", "pending")], estimate=None)
        flow = SimpleNamespace(
            member="",
            members={},
            phases={"P30": SimpleNamespace(facts={"connection": {"usd_per_hour": "1.0"}})},
            binding=SimpleNamespace(left=None),
            config=SimpleNamespace(wf_max_usd=None),
            started_at=datetime.now(timezone.utc),
            say=self.said.append,
            watched=self.watched,
            sweep=self,
        )
        self.estimates = Estimates(cast("FlowState", flow))

    def a_row_ends(self) -> None:
        self.watched.selected.append(RowStatus("a", "success", ok=True, duration_s=60.0))

    def status(self, *, fresh: bool) -> None:
        assert fresh
        self.estimates.row_seen()


def test_an_estimate_from_earlier_rows_is_said_once() -> None:
    sweep = _Sweep()
    sweep.a_row_ends()
    fact = sweep.estimates.at_launch()["estimate"]
    sweep.status(fresh=True)
    assert sweep.said == [fact["line"]] and "by earlier rows" in fact["line"]
    assert sweep.watched.estimate is None


def test_without_earlier_rows_the_first_one_that_ends_gives_the_estimate() -> None:
    sweep = _Sweep()
    assert sweep.estimates.at_launch()["estimate"] == {
        "line": "estimate: when the first row has ended"
    }
    sweep.a_row_ends()
    sweep.status(fresh=True)
    sweep.status(fresh=True)
    assert len(sweep.said) == 2 and "by the first row that ended" in sweep.said[1]
    assert sweep.watched.estimate["line"] == sweep.said[1]
