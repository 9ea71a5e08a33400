"""The command that leads on: what it is for each failure, and the flow's options in it."""

from __future__ import annotations

import pytest

from pytest_wf.court.next_command import (
    KINDS,
    after_failed_rows,
    flow_command,
    next_command,
    wf_command,
)
from pytest_wf.wire import failures, fsm

AGAIN = "pytest flows/ --wf-flow"
SMOKE = {"sweep": "start", "smoke": "true"}
RESUME = f"{AGAIN} --wf-sweep=resume"


@pytest.mark.parametrize(
    ("code", "kind", "sweep", "command"),
    [
        ("P20", "no-target", "start", "wf doctor"),
        ("P20", "interrupted", "resume", RESUME),
        ("P40", "apt", "start", AGAIN),
        ("P40", "apt", "resume", RESUME),
        ("P40", "illegal-state", "resume", AGAIN),
        ("P40", "illegal-state", "start", RESUME),
        ("P45", "assertion", "start", AGAIN),
        ("P85", "assertion", "start", RESUME),
        ("P50", "wrong-sha", "resume", AGAIN),
        ("P60", "launch", "start", AGAIN),
        ("P60", "launch", "resume", RESUME),
        ("P60", "smoke-failed", "start", AGAIN),
        ("P60", "sweep-running", "start", RESUME),
        ("P60", "sweep-running", "resume", "wf sweep-watch"),
        ("P60", "manifest-differs", "resume", AGAIN),
        # a resume would refuse it, and ask for a start
        ("P60", "run-exists", "start", "wf doctor"),
        ("P60", "run-differs", "start", "wf doctor"),
        ("P60", "no-campaign", "resume", AGAIN),
        ("P60", "lease-held", "start", "wf fsm-status"),
        ("P70", "sweep-stalled", "start", RESUME),
        ("P80", "court-deterministic", "start", "wf fetch-all"),
        ("P80", "local-disk", "resume", "wf fetch-all"),
        ("P80", "incomplete", "start", "wf sweep-watch"),
        ("P80", "no-such-run", "start", "wf sweep-status"),
        ("P80", "no-campaign", "skip", AGAIN),
        ("P80", "illegal-state", "start", "wf fsm-status"),
        ("P30", "state-unreadable", "resume", "wf doctor"),
        ("P50", "state-unreadable", "resume", AGAIN),
        ("P70", "state-unreadable", "start", AGAIN),
        ("P90", "delete", "start", "wf pod-status"),
        ("P90", "unfetched", "start", "wf fetch-all --for-delete"),
        ("P90", "sweep-running", "start", "wf sweep-watch"),
        ("P99", "local-disk", "start", "wf doctor"),
    ],
)
def test_a_next_command_leads_on(code: str, kind: str, sweep: str, command: str) -> None:
    assert next_command(code, kind, {"sweep": sweep}) == command


def test_a_flow_that_ended_in_its_smoke_run_begins_again() -> None:
    for kind in ("interrupted", "timeout", "remote-failed", "smoke-failed", "link-lost"):
        assert next_command("P60", kind, SMOKE) == f"{AGAIN} --wf-smoke"
    assert next_command("P60", "sweep-running", SMOKE) == RESUME
    assert next_command("P70", "interrupted", SMOKE) == RESUME


def test_a_flow_that_ended_before_its_campaign_begins_again() -> None:
    for kind in ("agent-broken", "interrupted", "link-lost", "court-unverified"):
        assert next_command("P60", kind, {}, fsm.CHECKED_OUT) == AGAIN
        assert next_command("P60", kind, {"sweep": "resume"}, fsm.CHECKED_OUT) == RESUME
        assert next_command("P60", kind, {}, fsm.SWEEP_RUNNING) == RESUME
        assert next_command("P60", kind, {}) == RESUME
    assert next_command("P70", "agent-broken", {}, fsm.CHECKED_OUT) == RESUME


def test_every_kind_that_has_a_command_of_its_own_is_a_kind_of_failure() -> None:
    assert set(KINDS) <= set(failures.KINDS)


def test_a_flow_is_run_again_with_its_own_options() -> None:
    options = {
        "provision": "skip",
        "sweep": "start",
        "wait": "true",
        "fetch": "run:a",
        "teardown": "delete",
        "config": "my flows/other.env",
        "csv": "b.csv",
        "reports": "out",
        "last_failed": "true",
        "selection": '-k "[a] or [b]"',
    }
    assert next_command("P70", "sweep-stalled", options) == (
        "pytest flows/ --wf-flow --wf-provision=skip --wf-sweep=resume --wf-wait=true "
        "--wf-fetch=run:a --wf-teardown=delete --wf-config='my flows/other.env' --wf-csv=b.csv "
        '--wf-reports=out --lf -k "[a] or [b]"'
    )


def test_a_campaign_is_named_only_where_it_is_resumed() -> None:
    options = {"sweep": "resume", "campaign": "c1"}
    assert flow_command(options) == f"{RESUME} --wf-campaign=c1"
    assert flow_command(options, sweep="start") == AGAIN


def test_a_teardown_is_written_where_it_is_not_the_configs() -> None:
    asked = {"teardown": "keep", "default_teardown": "delete"}
    assert flow_command(asked) == f"{AGAIN} --wf-teardown=keep"
    assert flow_command({**asked, "teardown": "delete"}) == AGAIN


def test_a_wf_command_gets_the_config_of_the_flow_and_the_csv_only_where_it_reads_it() -> None:
    options = {"config": "other.env", "csv": "b.csv", "selection": "-k a"}
    assert wf_command("wf fetch-all", options) == "wf fetch-all --wf-config=other.env"
    assert wf_command("wf doctor", options) == "wf doctor --wf-config=other.env --wf-csv=b.csv"


def test_a_command_works_from_where_pytest_was_started() -> None:
    options = {"root": "../my project"}
    assert flow_command(options) == f"cd '../my project' && {AGAIN}"
    assert wf_command("wf doctor", options) == "cd '../my project' && wf doctor"


def test_rows_that_failed_are_started_when_all_have_ended_else_resumed() -> None:
    options = {"sweep": "resume", "campaign": "c1", "fetch": "all"}
    assert after_failed_rows(options, all_ended=True) == (f"{AGAIN} --wf-wait=true --wf-fetch=all")
    assert after_failed_rows(options, all_ended=False) == (
        f"{RESUME} --wf-wait=true --wf-fetch=all"
    )
