"""What a flow came to: which of several failures gives the summary its code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_wf.console.live import News
from pytest_wf.court.next_command import trained_again
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.records import FlowSummary
from pytest_wf.flow.extensions import Extensions
from pytest_wf.flow.flow import Flow
from pytest_wf.flow.phase import PhaseRecord
from pytest_wf.flow.snapshot import start_of
from pytest_wf.flow.state import FlowState
from pytest_wf.flow.summary import end_of, following_command, has_failed_row, summarise
from pytest_wf.project.expectations import Expectations
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options
from pytest_wf.wire.rows import RowStatus
from tests.support import good_flow as good
from tests.support.project import ENV, write_flows

GOOD = RowStatus("good", "success", metrics={"loss": 2.0})
HIGH = RowStatus("high", "success", metrics={"loss": 4.0})
ODD = RowStatus("odd", "success", metrics={"loss": "nan"})
OWN = RowStatus("own", "success", metrics={"loss": 2.0}, expect="acc>0.5")
DEAD = RowStatus("dead", "failed", failure_class="oom")
OPEN = RowStatus("open", "running", expect="acc>0.5")


Make = Callable[..., FlowState]


class Silent:
    def say(self, text: str) -> None: ...

    def show(self, news: News) -> None: ...


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes flows that have seen rows, and nothing else."""
    csv = "run_id,config,seed,overrides,notes\na,c.py,1,,\n"
    write_flows(tmp_path, csv, f"{ENV}WF_EXPECT=loss<3\n")
    extensions = Extensions(SimpleNamespace(pytest_wf_providers=list))

    def flow(*rows: RowStatus) -> FlowState:
        project = load_project(tmp_path, Options(), {})
        judge = Expectations(project.config.wf_expect, None).judge
        made = Flow(
            project,
            {"P70": CONTRACTS["P70"]},
            environ={},
            interactive=False,
            console=Silent(),
            extensions=extensions,
        ).state
        judged = [judge(row) for row in rows]
        made.watched._sweep = cast(Any, SimpleNamespace(last_rows=judged))
        record = PhaseRecord(CONTRACTS["P70"], datetime.now(timezone.utc))
        record.evidence = good.evidence("P70", rows={r.run_id: r.as_json() for r in judged})
        record.verdict = good.passed("P70")
        made.phases["P70"] = record
        return made

    return flow


def summary_of(flow: FlowState, exit_code: int) -> FlowSummary:
    return summarise(flow, start_of(flow, {}), end_of(flow, exit_code))


@pytest.mark.parametrize(
    ("row", "ok", "failure_class"),
    [
        (GOOD, True, None),
        (HIGH, False, "expect"),
        (ODD, False, "expect"),
        (OWN, False, "expect"),
        (DEAD, False, "oom"),
        (OPEN, None, None),
    ],
    ids=["good", "high", "odd", "own", "dead", "open"],
)
def test_a_row_is_ok_if_it_trained_and_met_what_was_expected(
    make: Make, row: RowStatus, ok: bool | None, failure_class: str | None
) -> None:
    (summary,) = summary_of(make(row), 0).rows
    state = "failed" if failure_class == "expect" else row.state
    assert (summary.ok, summary.failure_class, summary.state) == (ok, failure_class, state)
    assert has_failed_row(make(row)) is (ok is False)


def test_only_rows_whose_training_failed_are_said_to_be_trained_again(make: Make) -> None:
    assert following_command(make(GOOD, HIGH)) == "wf logs high"
    assert following_command(make(HIGH, DEAD)).startswith("pytest flows/ --wf-flow")
    assert trained_again(["expect", "oom"]) == "trains again the rows whose training failed"
    assert trained_again([None, "oom"]) == "trains the failed rows again"


@pytest.mark.parametrize(
    ("failing", "code", "kind"),
    [
        ((GOOD, HIGH), 422, "row-expectation"),
        ((HIGH, DEAD), 421, "row-failed"),
        ((GOOD,), 493, "assertion"),
    ],
    ids=["expectation", "training", "assertion"],
)
def test_the_gravest_failure_gives_the_code(
    make: Make, failing: tuple[RowStatus, ...], code: int, kind: str
) -> None:
    flow = make(*failing)
    flow.failed_case = "P70"
    summary = summary_of(flow, 1)
    assert not summary.ok
    assert (summary.failed_phase, summary.failure_code, summary.failure_kind) == ("P70", code, kind)


def test_a_good_flow_has_no_code(make: Make) -> None:
    summary = summary_of(make(GOOD, OPEN), 0)
    assert (summary.ok, summary.failed_phase, summary.failure_code) == (True, None, 0)
    assert (summary.counts["rows_ok"], summary.counts["rows_open"]) == (1, 1)
