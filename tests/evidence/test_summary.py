"""The summary that follows from a flow's records, and how another one differs from it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.records import FlowEnd, FlowSummary
from pytest_wf.evidence.summary import PhaseOutcome, differences, summary_of
from pytest_wf.wire.failures import code_of
from pytest_wf.wire.rows import RowStatus
from tests.support import good_flow as good

CODES = ("P00", "P40", "P90")
ONE = RowStatus("one", "success")


def outcome(code: str, verdict: dict[str, Any] | None = None, **changes: Any) -> PhaseOutcome:
    """A good phase with changes in its verdict and its evidence."""
    decided = good.passed(code).model_copy(update=verdict or {})
    return PhaseOutcome(good.evidence(code, **changes), decided, "d" * 64)


def summary(*, end: dict[str, Any] | None = None, **phases: PhaseOutcome | None) -> FlowSummary:
    """The summary of a good flow but for these phases; None for one that did not begin."""
    contracts = {code: CONTRACTS[code].as_data() for code in CODES}
    found = {**{code: outcome(code) for code in CODES}, **phases}
    return summary_of(
        good.start().model_copy(update={"contracts": contracts}),
        {code: one for code, one in found.items() if one is not None},
        FlowEnd(**{"exit_code": 0, "ended_at": "2026-01-02T03:05:05.000Z", **(end or {})}),
    )


def test_a_flow_is_ok_if_every_court_passed_and_pytest_exits_with_0() -> None:
    found = summary()
    assert (found.ok, found.exit_code, found.failed_phase) == (True, 0, None)
    assert found.counts == {"phases_ok": 3}
    assert not summary(end={"exit_code": 2}).ok


def test_a_court_that_is_not_enforced_fails_the_flow_and_not_pytest() -> None:
    said_no = {"phase_pass": False, "deterministic": "fail", "enforced": False, "code": 390}
    found = summary(P40=outcome("P40", said_no))
    assert (found.ok, found.exit_code, found.failure_code) == (False, 0, 390)
    assert found.failure_kind == "court-deterministic"


@pytest.mark.parametrize(
    "spoilt",
    [
        outcome("P40", {"phase_pass": False, "deterministic": "fail", "code": 390}),
        outcome("P40", phase_status="fail", failure_code=301, failure_kind="prerequisites"),
        outcome("P40")._replace(verdict=None),
        PhaseOutcome(None, None, None),
    ],
    ids=["court", "phase", "no verdict", "nothing recorded"],
)
def test_a_phase_that_failed_or_has_no_verdict_fails_pytest(spoilt: PhaseOutcome) -> None:
    assert summary(P40=spoilt).exit_code == 1


def test_a_phase_that_did_not_begin_is_halted_under_its_name() -> None:
    phases = {phase.code: phase for phase in summary(P40=None).phases}
    assert (phases["P40"].status, phases["P40"].name) == ("halted", "BOOTSTRAP")
    assert (phases["P40"].court, phases["P00"].court) == ("none", "pass")
    assert (phases["P00"].status, phases["P00"].duration_s) == ("ok", 1.5)


def test_a_failed_case_gives_its_phase_and_the_code_of_its_family() -> None:
    found = summary(end={"exit_code": 1, "failed_case": "P40"})
    assert (found.failed_phase, found.failure_kind) == ("P40", "assertion")
    assert found.failure_code == code_of("assertion", CONTRACTS["P40"].family)


def test_the_rows_are_those_of_the_last_phase_that_recorded_any() -> None:
    seen = {"one": ONE._replace(state="running").as_json()}
    ended = {"one": ONE.as_json(), "two": RowStatus("two", "failed", ok=False).as_json()}
    found = summary(
        P70=outcome("P70", rows=seen), P80=outcome("P80", rows=ended), P90=outcome("P90")
    )
    assert [(row.run_id, row.state) for row in found.rows] == [
        ("one", "success"),
        ("two", "failed"),
    ]
    assert found.counts == {"phases_ok": 5, "rows_ok": 1, "rows_failed": 1}


@pytest.mark.parametrize(
    ("released", "price", "cost"),
    [
        ({"usd_per_hour": 2.5, "cost_usd": 5.0}, 2.5, 5.0),
        ({"usd_per_hour": 2.5}, 2.5, None),
        ({"cost_usd": 5.0}, 1.0, 3.0),
        ("all of it", 1.0, 3.0),
    ],
)
def test_what_the_provider_stated_of_a_released_pod_is_the_cost(
    released: Any, price: float, cost: float | None
) -> None:
    found = summary(
        P90=outcome("P90", facts={"released": released}),
        end={"usd_per_hour": 1.0, "cost_usd": 3.0},
    )
    assert (found.usd_per_hour, found.cost_usd) == (price, cost)


ROWS = [{"run_id": "one", "ok": True}, {"run_id": "two", "ok": True}]
MOVED = "rows is not in the order of the records"


@pytest.mark.parametrize(
    ("stated", "lines"),
    [
        (ROWS, []),
        (ROWS[::-1], [MOVED]),
        ([*ROWS, ROWS[0]], [MOVED]),
        ([*ROWS, 3], [MOVED]),
        ([ROWS[0], {"run_id": "two", "ok": 1}], ["rows[two].ok is 1, and the records say True"]),
    ],
    ids=["same", "moved", "twice", "no row", "a number for a truth"],
)
def test_each_row_that_differs_is_named(stated: list[Any], lines: list[str]) -> None:
    assert differences({"rows": stated}, {"rows": ROWS}) == lines


def test_of_many_differences_the_first_are_named_and_the_others_counted() -> None:
    stated = {f"f{number:02}": number for number in range(22)}
    assert len(differences(dict(list(stated.items())[:20]), {})) == 20
    assert differences(stated, {})[20:] == ["2 more fields differ"]


def test_the_best_row_is_found_by_the_rule_that_the_flow_began_with() -> None:
    rows = {
        run_id: RowStatus(
            run_id, "success", index, ok=True, metrics={"loss": loss, "speed": 10 * loss}
        )
        for index, (run_id, loss) in enumerate((("one", 2.0), ("two", 1.0)))
    }
    phases = {"P70": outcome("P70", rows={k: row.as_json() for k, row in rows.items()})}
    end = FlowEnd(exit_code=0, ended_at="2026-01-02T03:05:05.000Z")
    guessed = summary_of(good.start(), phases, end).best
    asked = summary_of(
        good.start().model_copy(update={"rank_by": "maximize speed"}), phases, end
    ).best
    assert guessed is not None and asked is not None
    assert (guessed.run_id, guessed.metric, guessed.value, guessed.guessed) == (
        "two",
        "loss",
        1.0,
        True,
    )
    assert (asked.run_id, asked.goal, asked.guessed) == ("one", "maximize", False)
    assert summary().best is None


@pytest.mark.parametrize(
    ("recorded", "best"), [("maximize speed", "speed"), ("", None), (None, "loss")]
)
def test_a_guess_that_was_recorded_counts_whatever_would_be_guessed_now(
    recorded: str | None, best: str | None
) -> None:
    rows = {"one": ONE._replace(ok=True, metrics={"loss": 1.0, "speed": 2.0}).as_json()}
    found = summary(P90=outcome("P90", rows=rows), end={"guessed_rank_by": recorded}).best
    assert (found and found.metric) == best
    assert found is None or found.guessed


def test_a_good_flow_has_no_error_and_says_why_nothing_is_ranked() -> None:
    rows = {"one": ONE._replace(ok=True, metrics={"lr": 1}).as_json()}
    found = summary(P90=outcome("P90", rows=rows))
    assert found.error is None
    assert [note.code for note in found.notes] == ["not-ranked"]


def test_a_guessed_rank_and_a_court_that_is_not_enforced_are_notes() -> None:
    rows = {"one": ONE._replace(ok=True, metrics={"loss": 1}).as_json()}
    said_no = {"phase_pass": False, "deterministic": "fail", "enforced": False, "code": 390}
    found = summary(P40=outcome("P40", said_no), P90=outcome("P90", rows=rows))
    assert [note.code for note in found.notes] == ["court-not-enforced", "rank-guessed"]
    assert "lowest final loss" in found.notes[1].text


def test_an_error_has_the_failure_in_words_and_the_command_that_leads_on() -> None:
    no = {"phase_pass": False, "halt_reason": "no gcc", "suggested_next_command": "wf doctor"}
    found = summary(P40=outcome("P40", {**no, "deterministic": "fail", "code": 390}))
    assert found.error is not None
    assert (found.error.code, found.error.message, found.error.next) == (390, "no gcc", "wf doctor")


@pytest.mark.parametrize(("failed", "message"), [(1, "1 row failed: r0."), (12, "r9 and 2 more.")])
def test_failed_rows_are_named_in_the_error(failed: int, message: str) -> None:
    rows = [RowStatus(f"r{n}", "failed", n, ok=False) for n in range(failed)]
    found = summary(
        end={"exit_code": 1, "next_command": "pytest flows/ --wf-flow"},
        P90=outcome("P90", rows={row.run_id: row.as_json() for row in rows}),
    )
    assert found.error is not None
    assert message in found.error.message
    assert found.error.next == "pytest flows/ --wf-flow"


def test_a_failure_of_pytest_alone_is_an_error_without_a_code() -> None:
    found = summary(end={"exit_code": 2})
    assert found.error is not None
    assert (found.error.code, found.failure_code) == (0, 0)
