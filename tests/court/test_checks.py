"""What each check tells: what was expected, and what was found."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_wf.court import deterministic
from pytest_wf.evidence.records import Artifact
from tests.support import good_flow as good

LOCAL = Artifact(role="config", path="/w.env", sha256="a" * 64, bytes=1)
STRAY = {"commands": ["bootstrap", "warm-cache"]}
IDLE: dict[str, Any] = {"commands": [], "command_name": ""}
SKIPPED = {"phase_status": "skip", "facts": {"skip_reason": "asked"}}


@pytest.mark.parametrize(
    ("name", "code", "changes", "expected", "actual"),
    [
        ("commands-in-contract", "P40", {}, "bootstrap", "within"),
        ("commands-in-contract", "P40", STRAY, "bootstrap", "warm-cache"),
        ("something-ran", "P40", {}, "one of bootstrap", "ran"),
        ("something-ran", "P40", IDLE, "one of bootstrap", "nothing ran"),
        ("nothing-destroyed", "P40", {}, None, "nothing deleted"),
        ("nothing-destroyed", "P90", {}, None, "pod-delete"),
        ("target-unchanged", "P40", {"resolved_target": "x"}, good.TARGET, "x"),
        ("state-before", "P20", {}, "any", "None"),
        (
            "state-after",
            "P99",
            {"fsm_after": "POD_READY"},
            "any",
            "POD_READY",
        ),
        (
            *("transition-legal", "P40", STRAY),
            *("a transition that bootstrap, warm-cache may make", "POD_READY to BOOTSTRAPPED"),
        ),
        (
            *("transition-legal", "P40", IDLE),
            *("a transition that no command may make", "POD_READY to BOOTSTRAPPED"),
        ),
        ("artifacts-present", "P20", {}, "none asked", "all present"),
        ("artifacts-present", "P40", {"artifacts": []}, "bootstrap-log", "missing: bootstrap-log"),
        ("artifacts-as-stated", "P60", {}, None, "as stated"),
        ("artifacts-as-stated", "P60", {"artifacts": [LOCAL]}, None, "/w.env: missing"),
        ("artifacts-parse", "P60", {}, None, "they parse"),
        ("skip-has-reason", "P70", SKIPPED, "the reason of the skip", "asked"),
        (
            *("skip-did-nothing", "P60", {**SKIPPED, "commands": ["sweep-start"]}, None),
            "sweep-start, moved the pod from CHECKED_OUT to SWEEP_RUNNING",
        ),
        (
            *("skip-did-nothing", "P60", {**SKIPPED, "fsm_after": "CHECKED_OUT"}, None),
            "sweep-start",
        ),
    ],
)
def test_a_check_tells_what_it_expected_and_what_it_found(
    name: str, code: str, changes: dict[str, Any], expected: str | None, actual: str
) -> None:
    case = good.evidence(code, **changes), good.contract(code), good.world(code)
    check = next(c for c in deterministic.deterministic(*case) if c.name == name)
    assert check.actual == actual
    if expected is not None:
        assert check.expected == expected


def test_states_are_told_in_the_order_of_the_lifecycle() -> None:
    case = good.evidence("P90"), good.contract("P40"), good.world("P90")
    after = next(c for c in deterministic.deterministic(*case) if c.name == "state-after")
    assert after.expected == (
        "BOOTSTRAPPED, CHECKED_OUT, SWEEP_RUNNING, SWEEP_STALLED, SWEEP_COMPLETED, "
        "ARTIFACTS_FETCHING, ARTIFACTS_SYNCED"
    )
