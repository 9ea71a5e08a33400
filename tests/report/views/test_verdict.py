"""The top of the page: the best row, and how it differs from the baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_wf.report.build import build
from pytest_wf.report.page import write_report
from pytest_wf.report.views import verdict
from pytest_wf.report.views.verdict import Best, Verdict

SHA = "0" * 64


@pytest.fixture
def flow_against(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> Callable[[Mapping[str, float]], Any]:
    """A flow of two rows, a with the loss 2.0 and b with 1.5, held against a baseline."""

    def flow_(losses: Mapping[str, float]) -> Any:
        flow = new_flow()
        rows = [new_row("a", 0, metrics={"loss": 2.0}), new_row("b", 1, metrics={"loss": 1.5})]
        flow.start(rows)
        known = {name: {"metrics": {"loss": loss}} for name, loss in losses.items()}
        record = {"flow_id": "f-1", "summary_sha256": SHA, "set_at": "2026-01-01T00:00:00Z"}
        raw = json.dumps({"schema_version": 1, **record, "rows": known}).encode()
        kept = flow.store.artifact("baseline", flow.store.attach("baseline.json", raw))
        flow.phase("P00", artifacts=[kept])
        flow.sweep().end()
        return flow

    return flow_


def shown(flow: Any) -> Verdict:
    return verdict.show(build([flow.folder], flow.page.parent).flows[0])


def best_of(flow: Any) -> Best:
    best = shown(flow).best
    assert best is not None
    return best


def test_the_best_row_has_what_tells_it_from_others(flow_against: Callable[..., Any]) -> None:
    best = best_of(flow_against({}))
    assert (best.run_id, best.words, best.value) == ("b", "lowest final loss", "1.5")
    assert best.guessed
    # the seed is no setting
    assert best.parameters == (("lr", "0.0006"), ("depth", "7"))
    assert (best.ties, best.differences) == (0, ())


def test_it_is_compared_with_the_baselines_best_and_with_its_namesake(
    flow_against: Callable[..., Any],
) -> None:
    found = best_of(flow_against({"a": 1.2, "b": 3.0})).differences
    assert [(d.against, d.change, d.judged) for d in found] == [
        ("the baseline's best, a: 1.2", "+0.3 (+25.0%)", "bad"),
        ("b in the baseline: 3", "-1.5 (-50.0%)", "good"),
    ]
    [same] = best_of(flow_against({"b": 1.5})).differences
    assert (same.change, same.judged) == ("the same", "")


def test_a_baseline_that_cannot_be_read_is_none(flow_against: Callable[..., Any]) -> None:
    flow = flow_against({"a": 1.2})
    (flow.folder / "baseline.json").write_text("{")
    assert best_of(flow).differences == ()


def test_rows_that_differ_only_by_their_seed_are_known(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    flow = new_flow().start([new_row("a", 0), new_row("b", 1)])
    flow.sweep({"a": "gpt2.py,1,lr=1", "b": "gpt2.py,2,lr=1"}).end()
    assert shown(flow).has_seeds
    flow = new_flow().start([new_row("a", 0), new_row("b", 1)])
    flow.sweep({"a": "gpt2.py,1,lr=1", "b": "gpt2.py,2,lr=2"}).end()
    assert not shown(flow).has_seeds


def test_a_seed_among_the_overrides_is_a_seed(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    flow = new_flow().start([new_row("a", 0), new_row("b", 1)])
    flow.sweep({"a": "gpt2.py,1,lr=1 data.seed=1", "b": "gpt2.py,1,lr=1 data.seed=2"}).end()
    assert shown(flow).has_seeds


def test_why_no_row_is_best_is_said_where_rows_are_ok(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    flow = new_flow().start([new_row("a", 0, metrics={"speed": 1.0})])
    flow.sweep().end()
    assert shown(flow).best is None
    assert "set WF_RANK_BY" in shown(flow).unranked
    html = write_report([flow.folder], flow.page).read_text()
    assert "No best row: No metric of the rows says by its name what is better" in html
