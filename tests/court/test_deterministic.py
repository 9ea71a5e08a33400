"""The deterministic layer: a good phase passes, and each check alone can fail one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_wf.court import deterministic
from pytest_wf.court.checks import may_become
from pytest_wf.court.contract import Contract
from pytest_wf.court.next_command import flow_command
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.records import Artifact, Check
from pytest_wf.project.expectations import Expectations
from pytest_wf.wire.rows import RowStatus
from tests.support import good_flow as good

LOCAL = Artifact(role="config", path="/w.env", sha256="a" * 64, bytes=1)


@pytest.mark.parametrize("code", CONTRACTS)
def test_a_good_phase_passes_every_check(code: str) -> None:
    checks = deterministic.deterministic(good.evidence(code), good.contract(code), good.world(code))
    assert [c.name for c in checks if not c.ok] == []
    assert len(checks) > 10
    assert all(c.remedy for c in checks)


#: As the evidence has to tell of a loss of 4 where less than 3 was expected.


def rows(*statuses: RowStatus) -> dict[str, Any]:
    """Rows as P70's evidence has them."""
    return {row.run_id: row.as_json() for row in statuses}


HIGH = RowStatus("a", "success", expect="loss<3", metrics={"loss": 4})
JUDGED = Expectations("", None).judge(HIGH)
MET = {**JUDGED.expectations[0], "ok": True}

#: name of the check, phase, what is changed in the evidence, what in the world
SPOILT: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "outcome",
        "P40",
        {"phase_status": "fail", "failure_code": 301, "failure_kind": "prerequisites"},
        {},
    ),
    ("code-agrees", "P40", {"failure_code": 301}, {}),
    ("code-agrees", "P40", {"failure_kind": "apt"}, {}),
    ("rc-agrees", "P40", {"command_rc": 1}, {}),
    ("contract-as-declared", "P40", {"contract": {"code": "P40"}}, {}),
    ("times-in-order", "P40", {"ended_at": "2026-01-02T03:04:04Z"}, {}),
    ("commands-in-contract", "P40", {"commands": ["bootstrap", "warm-cache"]}, {}),
    ("something-ran", "P20", {"commands": [], "command_name": ""}, {}),
    ("config-unchanged", "P40", {"active_config_sha256": "d" * 64}, {}),
    ("config-unchanged", "P40", {}, {"config_sha256_now": "d" * 64}),
    ("config-unchanged", "P40", {}, {"config_sha256_now": None}),
    ("target-unchanged", "P40", {"resolved_target": "ssh:other"}, {}),
    ("target-unchanged", "P40", {"resolved_target": None}, {}),
    ("target-unchanged", "P40", {}, {"locked_target": None}),
    ("state-before", "P30", {"fsm_before": None}, {}),
    ("state-after", "P30", {"fsm_after": None}, {}),
    ("state-as-found", "P40", {}, {"fsm_now": "SWEEP_RUNNING"}),
    ("artifacts-present", "P40", {"artifacts": []}, {}),
    ("artifacts-as-stated", "P60", {"artifacts": [LOCAL]}, {}),
    ("artifacts-as-stated", "P60", {"artifacts": [LOCAL]}, {"artifacts_found": {"/w.env": None}}),
    (
        "artifacts-as-stated",
        "P60",
        {"artifacts": [LOCAL]},
        {"artifacts_found": {"/w.env": "b" * 64}},
    ),
    ("artifacts-parse", "P60", {}, {"unreadable": {"/r.json": "not JSON"}}),
    ("laws-loaded", "P00", {"facts": {"laws": [1, 2]}}, {}),
    ("config-hash-recorded", "P00", {"facts": {"config_sha256": "d" * 64}}, {}),
    ("pod-rented", "P10", {"facts": {"rented": ""}}, {}),
    ("renting-allowed", "P10", {}, {"policy": {"provision": "skip"}}),
    ("target-bound", "P20", {"target_source": "unresolved"}, {}),
    ("host-key-verified", "P30", {"facts": {"connection": {"address": "x"}}}, {}),
    ("host-key-verified", "P30", {"facts": {"connection": None}}, {}),
    ("config-synced", "P30", {"facts": {"config_sync": {"sha256": "d" * 64}}}, {}),
    ("config-synced", "P30", {"facts": {"config_sync": None}}, {}),
    ("nothing-missing", "P40", {"facts": {"missing": ["tmux"]}}, {}),
    ("nothing-missing", "P40", {"facts": {"missing": None}}, {}),
    ("commit-recorded", "P50", {"git_sha": "abc"}, {}),
    ("commit-recorded", "P50", {"git_sha": None}, {}),
    ("commit-as-asked", "P50", {}, {"policy": {"expect_git_sha": "8" * 40}}),
    ("checkout-clean", "P50", {"facts": {"dirty": ["train.py"]}}, {}),
    ("checkout-clean", "P50", {"facts": {"dirty": None}}, {}),
    ("torch-as-asked", "P50", {"facts": {"torch": None}}, {"policy": {"require_gpu_torch": "1"}}),
    ("campaign-known", "P60", {"campaign_id": None}, {}),
    ("sweep-as-asked", "P60", {}, {"policy": {"sweep": "resume"}}),
    ("sweep-under-way", "P60", {"fsm_after": "CHECKED_OUT"}, {"fsm_now": "CHECKED_OUT"}),
    ("rows-known", "P70", {"rows": rows(RowStatus("a", "running"))}, {}),
    (
        "rows-known",
        "P70",
        {"rows": {"a": "unreadable"}, "facts": {"waited": False}},
        {"policy": {}},
    ),
    ("rows-known", "P70", {"rows": None}, {}),
    ("rows-known", "P70", {"rows": rows(RowStatus("a", "not_selected"))}, {}),
    (
        "rows-known",
        "P70",
        {"rows": rows(RowStatus("a", "not_selected")), "facts": {"waited": False}},
        {"policy": {"deselected": "b"}},
    ),
    ("waited-as-asked", "P70", {"facts": {"waited": False}}, {}),
    (
        "rows-judged",
        "P70",
        {"rows": rows(RowStatus("a", "success", metrics={"loss": 4}))},
        {"policy": {"expect": "loss<3"}},
    ),
    (
        "rows-judged",
        "P70",
        {
            "rows": rows(HIGH._replace(expectations=(MET,))),
        },
        {},
    ),
    ("digests-verified", "P80", {"facts": {"verified": None}}, {}),
    (
        "fetch-ended",
        "P80",
        {"fsm_after": "ARTIFACTS_FETCHING"},
        {"fsm_now": "ARTIFACTS_FETCHING"},
    ),
    ("teardown-as-asked", "P90", {}, {"policy": {"teardown": "keep"}}),
    ("teardown-as-asked", "P90", {"flow_status": "halted by P40"}, {}),
    ("deletion-proved", "P90", {"facts": {"removed": None}}, {}),
    ("phases-in-order", "P99", {"facts": {"phases": []}}, {}),
    ("phases-in-order", "P99", {"facts": {"phases": ["P40", "P00", "P90"]}}, {}),
]


@pytest.mark.parametrize(
    ("name", "code", "evidence", "world"), SPOILT, ids=[f"{s[0]}-{i}" for i, s in enumerate(SPOILT)]
)
def test_each_check_alone_fails_a_phase(
    name: str, code: str, evidence: dict[str, Any], world: dict[str, Any]
) -> None:
    assert good.failed(good.evidence(code, **evidence), good.world(code, **world)) == [name]


def test_a_target_that_is_not_locked_fails_p20_alone() -> None:
    names = good.failed(good.evidence("P20"), good.world("P20", locked_target=None))
    assert names == ["target-unchanged", "target-locked"]


def test_every_check_has_a_test_in_which_it_fails() -> None:
    named = {spoilt[0] for spoilt in SPOILT} | {
        "nothing-destroyed",
        "target-locked",
        "transition-legal",
        "kept-and-named",
        "skip-has-reason",
        "skip-did-nothing",
    }
    seen = rows(HIGH)
    checks = {
        check.name
        for code in CONTRACTS
        for changes in (
            {},
            {"phase_status": "skip"},
            {"commands": ["teardown"]},
            {"rows": seen},
        )
        for check in deterministic.deterministic(
            good.evidence(code, **changes), good.contract(code), good.world(code)
        )
    }
    assert checks == named


@pytest.mark.parametrize(
    ("policy", "state"),
    [
        ({"deselected": "b a"}, "not_selected"),
        ({"deselected": "a"}, "pending"),
        ({"last_failed": "true"}, "not_selected"),
        ({"sweep": "skip"}, "not_selected"),
    ],
)
def test_a_row_that_the_flow_does_not_launch_is_not_awaited(
    policy: dict[str, str], state: str
) -> None:
    seen = rows(RowStatus("a", state), RowStatus("c", "success", ok=True))
    assert good.failed(good.evidence("P70", rows=seen), good.world("P70", policy=policy)) == []


def test_a_row_that_breaks_its_expectations_is_no_failed_phase() -> None:
    seen = rows(JUDGED, HIGH._replace(run_id="b", state="failed"))
    assert (JUDGED.state, JUDGED.failure_class) == ("failed", "expect")
    assert good.failed(good.evidence("P70", rows=seen), good.world("P70")) == []


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_row_whose_state_is_not_its_judgement_fails_p70(state: str) -> None:
    met = JUDGED._replace(metrics={"loss": 2}, expectations=())
    spoilt = (JUDGED if state == "success" else met)._replace(state=state)
    assert good.failed(good.evidence("P70", rows=rows(spoilt)), good.world("P70")) == [
        "rows-judged"
    ]


def test_an_illegal_transition_fails_a_phase() -> None:
    for before, after in (("SWEEP_RUNNING", "BOOTSTRAPPED"), ("POD_READY", "CHECKED_OUT")):
        spoilt = good.evidence("P40", fsm_before=before, fsm_after=after)
        assert good.failed(spoilt, good.world("P40", fsm_now=after)) == ["transition-legal"]


def test_a_phase_that_failed_may_stay_where_it_was_and_move_only_as_its_commands_may() -> None:
    failed = {"phase_status": "fail", "failure_code": 301, "failure_kind": "prerequisites"}
    for after, names in (("SWEEP_RUNNING", []), ("BOOTSTRAPPED", ["transition-legal"])):
        spoilt = good.evidence("P40", **failed, fsm_before="SWEEP_RUNNING", fsm_after=after)
        assert good.failed(spoilt, good.world("P40", fsm_now=None)) == ["outcome", *names]


def test_only_p90_may_delete() -> None:
    own = Contract("P85", "CLEAR", "clears the pod away", ("pod-delete",))
    spoilt = good.evidence("P90", phase_id="P85", contract=own.as_data())
    assert good.failed(spoilt, good.world("P90"), own) == ["nothing-destroyed"]


def test_on_a_resume_p40_and_p50_may_look_at_a_running_sweep() -> None:
    options = {**good.OPTIONS, "sweep": "resume"}
    for code in ("P40", "P50"):
        seen = good.evidence(
            code, fsm_before="SWEEP_RUNNING", fsm_after="SWEEP_RUNNING", options=options
        )
        assert good.failed(seen, good.world(code, fsm_now="SWEEP_RUNNING")) == []


def test_the_same_look_without_resume_is_an_illegal_transition() -> None:
    seen = good.evidence("P40", fsm_before="SWEEP_RUNNING", fsm_after="SWEEP_RUNNING")
    assert good.failed(seen, good.world("P40", fsm_now=None)) == ["transition-legal"]


@pytest.mark.parametrize(
    ("commands", "before", "after", "legal"),
    [
        (["pod-status"], "INIT", "POD_READY", True),
        (["pod-status"], "POD_TERMINATED", "POD_READY", True),
        (["pod-status"], "SWEEP_RUNNING", "SWEEP_RUNNING", True),
        (["pod-status"], "SWEEP_RUNNING", "SWEEP_COMPLETED", True),
        (["pod-status"], "SWEEP_RUNNING", "POD_READY", False),
        (["pod-status"], "ARTIFACTS_FETCHING", "SWEEP_COMPLETED", True),
        (["sweep-start"], "CHECKED_OUT", "SWEEP_COMPLETED", True),
        (["sweep-start"], "SWEEP_RUNNING", "SWEEP_RUNNING", False),
        (["sweep-watch"], "SWEEP_RUNNING", "SWEEP_STALLED", True),
        (["sweep-watch"], "SWEEP_STALLED", "SWEEP_COMPLETED", False),
        (["fetch"], "SWEEP_COMPLETED", "SWEEP_COMPLETED", True),
        (["fetch"], "CHECKED_OUT", "CHECKED_OUT", True),
        (["fetch"], "CHECKED_OUT", "ARTIFACTS_SYNCED", False),
        (["warm-cache"], "CHECKED_OUT", "CHECKED_OUT", True),
        (["warm-cache"], "CHECKED_OUT", "SWEEP_RUNNING", False),
        (["bootstrap", "checkout"], "POD_READY", "CHECKED_OUT", True),
        (["pod-delete"], "SWEEP_COMPLETED", "POD_TERMINATED", True),
        (["pod-delete"], "SWEEP_RUNNING", "POD_TERMINATED", False),
        (["bootstrap"], "SWEEP_RUNNING", "BOOTSTRAPPED", False),
    ],
)
def test_states_that_commands_may_lead_to(
    commands: list[str], before: str, after: str, legal: bool
) -> None:
    assert (after in may_become(commands, before)) is legal


def test_a_forced_deletion_may_end_any_state() -> None:
    forced = good.evidence("P90", fsm_before="ARTIFACTS_FETCHING", facts={"force": True})
    assert good.failed(forced, good.world("P90")) == []


def test_keeping_the_pod_passes_when_it_was_asked_for() -> None:
    kept = _kept(facts={"deleted": False, "kept": "gpu"})
    assert good.failed(kept, good.world("P90", policy={"teardown": "keep"}, fsm_now=None)) == []


def test_a_kept_pod_must_be_named() -> None:
    kept = _kept(facts={"deleted": False, "kept": None})
    world = good.world("P90", policy={"teardown": "keep"}, fsm_now=None)
    assert good.failed(kept, world) == ["kept-and-named"]


def test_a_pod_that_was_to_be_deleted_is_not_quietly_kept() -> None:
    kept = _kept(facts={"deleted": False, "kept": "gpu"}, teardown_mode="delete")
    assert good.failed(kept, good.world("P90", fsm_now=None)) == ["teardown-as-asked"]


def test_after_a_halt_the_policy_for_failures_decides() -> None:
    halted = good.evidence("P90", flow_status="halted by P40 (code 301)")
    world = good.world("P90", policy={"teardown": "keep", "teardown_on_failure": "delete"})
    assert good.failed(halted, world) == []


def _kept(**changes: Any) -> Any:
    return good.evidence(
        "P90",
        **{
            "command_name": "teardown",
            "commands": ["teardown"],
            "teardown_mode": "keep",
            "fsm_after": "ARTIFACTS_SYNCED",
            **changes,
        },
    )


# ---- skips ---------------------------------------------------------------------------------


def test_a_policy_skip_with_a_reason_passes() -> None:
    skips: dict[str, dict[str, Any]] = {
        "P10": {"facts": {"rented": None, "skip_reason": "the config names a target"}},
        "P60": {"command_name": "sweep-skip", "commands": ["sweep-skip"]},
        "P70": {},
        "P80": {"command_name": "fetch-skip", "commands": ["fetch-skip"], "artifacts": []},
    }
    for code, changes in skips.items():
        changes = {"facts": {"skip_reason": "asked"}, **changes}
        state = good.evidence(code).fsm_before
        skipped = good.evidence(code, phase_status="skip", fsm_after=state, **changes)
        assert good.failed(skipped, good.world(code, fsm_now=None)) == []


def test_a_skip_without_a_reason_fails() -> None:
    skipped = good.evidence("P10", phase_status="skip", facts={"rented": None})
    assert good.failed(skipped, good.world("P10")) == ["skip-has-reason"]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("P10", {}),
        ("P60", {"fsm_after": "CHECKED_OUT"}),
        ("P60", {"commands": ["sweep-skip"], "command_name": "sweep-skip"}),
    ],
)
def test_a_skip_that_has_done_something_fails(code: str, changes: dict[str, Any]) -> None:
    changes["facts"] = {"skip_reason": "policy"}
    names = good.failed(
        good.evidence(code, phase_status="skip", **changes), good.world(code, fsm_now=None)
    )
    assert "skip-did-nothing" in names
    assert set(names) <= {"skip-did-nothing", "transition-legal"}


# ---- known violations, user's checks, own phases --------------------------------------------


def test_p90_records_a_known_violation_without_failing_again() -> None:
    for known in (1, "config-unchanged"):
        world = good.world("P90", config_sha256_now="d" * 64, known_violations=(known,))
        checks = deterministic.deterministic(good.evidence("P90"), good.contract("P90"), world)
        excused = next(c for c in checks if c.name == "config-unchanged")
        assert excused.ok
        assert excused.actual.startswith("known")


def test_other_phases_fail_for_it_again() -> None:
    world = good.world("P80", config_sha256_now="d" * 64, known_violations=(1,))
    assert good.failed(good.evidence("P80"), world) == ["config-unchanged"]


def test_a_violation_that_is_new_at_p90_fails_p90() -> None:
    world = good.world("P90", config_sha256_now="d" * 64, known_violations=(3,))
    assert good.failed(good.evidence("P90"), world) == ["config-unchanged"]


def test_a_known_violation_excuses_no_other_check() -> None:
    spoilt = good.evidence("P90", facts={"removed": None})
    world = good.world("P90", known_violations=(7, "deletion-proved"))
    assert good.failed(spoilt, world) == ["deletion-proved"]


def test_the_authors_own_checks_count() -> None:
    spoilt = good.evidence("P40", user_checks=[Check(name="cache is warm", ok=False)])
    assert good.failed(spoilt, good.world("P40")) == ["cache is warm"]


def test_a_users_own_phase_is_judged_by_its_contract() -> None:
    own = Contract("P55", "WARM", "the cache is warm", ("warm-cache",))
    seen = good.evidence(
        "P50", phase_id="P55", contract=own.as_data(), commands=[], command_name="", artifacts=[]
    ).model_copy(update={"fsm_after": "BOOTSTRAPPED"})
    assert good.failed(seen, good.world("P50", fsm_now=None), own) == []
    stray = seen.model_copy(update={"commands": ["checkout"]})
    assert "commands-in-contract" in good.failed(stray, good.world("P50", fsm_now=None), own)


# ---- the AND gate --------------------------------------------------------------------------


def _verdict(det: Any, const: Any, **changes: Any) -> Any:
    values = {
        "evidence_sha256": "e" * 64,
        "deterministic_sha256": "a" * 64,
        "constitutional_sha256": "b" * 64,
        "previous_verdict_sha256": None,
        "enforced": True,
        "decided_at": "2026-01-02T03:04:07Z",
    }
    evidence = changes.pop("evidence", None) or good.evidence("P40")
    context = deterministic.VerdictContext(**{**values, **changes})
    return deterministic.verdict(evidence, good.contract("P40"), det, const, context)


def test_pass_and_pass_is_a_pass() -> None:
    verdict = _verdict(good.report("P40"), good.answer("P40"))
    assert verdict.phase_pass
    assert (verdict.code, verdict.halt_reason, verdict.violated_laws) == (0, "", [])


@pytest.mark.parametrize(
    ("det", "const", "code"),
    [
        (False, "pass", 390),
        (True, "fail", 391),
        (True, "unverified", 392),
        (False, "fail", 390),
        (False, "unverified", 390),
    ],
)
def test_anything_else_halts(det: bool, const: str, code: int) -> None:
    verdict = _verdict(good.report("P40", passed=det), good.answer("P40", const))
    assert not verdict.phase_pass
    assert verdict.code == code
    assert verdict.halt_reason
    assert verdict.suggested_next_command == flow_command(good.OPTIONS)


@pytest.mark.fault("A6")
def test_a_report_about_other_evidence_is_no_report() -> None:
    other = _verdict(good.report("P40", evidence_sha256="f" * 64), good.answer("P40"))
    assert (other.deterministic, other.constitutional) == ("fail", "pass")
    assert other.halt_reason == "the deterministic report is not about this evidence"
    other = _verdict(good.report("P40"), good.answer("P40", flow_id="f-other"))
    assert (other.deterministic, other.constitutional) == ("pass", "unverified")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"expected": "1 GB", "actual": "3 MB"}, "disk: expected 1 GB, found 3 MB"),
        ({"actual": "3 MB", "remedy": "Make room."}, "disk: found 3 MB"),
        ({"remedy": "Make room."}, "disk: Make room."),
        ({}, "disk: failed"),
    ],
)
def test_a_failed_check_says_what_it_has(fields: dict[str, Any], said: str) -> None:
    broken = Check(name="disk", ok=False, **fields)
    report = good.report("P40").model_copy(update={"checks": [broken], "passed": False})
    assert _verdict(report, good.answer("P40")).halt_reason == said


def test_a_pass_over_a_failed_check_is_no_pass() -> None:
    lying = good.report("P40", passed=False).model_copy(update={"passed": True})
    assert _verdict(lying, good.answer("P40")).deterministic == "fail"


def test_a_pass_that_names_violated_laws_is_unverified() -> None:
    verdict = _verdict(good.report("P40"), good.answer("P40", violated_laws=[7]))
    assert verdict.constitutional == "unverified"


def test_without_evidence_nothing_passes() -> None:
    verdict = _verdict(
        good.report("P40", evidence_sha256=""),
        good.answer("P40", evidence_sha256=""),
        evidence_sha256="",
    )
    assert (verdict.deterministic, verdict.constitutional) == ("fail", "unverified")


def test_the_phases_own_failure_gives_the_code_and_the_reason() -> None:
    evidence = good.evidence(
        "P40",
        phase_status="fail",
        failure_code=301,
        failure_kind="prerequisites",
        error="tmux is missing",
    )
    verdict = _verdict(good.report("P40", passed=False), good.answer("P40"), evidence=evidence)
    assert verdict.code == 301
    assert verdict.halt_reason == "tmux is missing"


def test_the_phases_own_failure_gives_the_next_command() -> None:
    evidence = good.evidence("P40", failure_kind="lease-held")
    verdict = _verdict(good.report("P40", passed=False), good.answer("P40"), evidence=evidence)
    assert verdict.suggested_next_command == "wf fsm-status"


def test_violated_laws_come_from_both_layers() -> None:
    check = Check(name="config-unchanged", ok=False, law=1)
    det = good.report("P40", passed=False).model_copy(update={"checks": [check]})
    verdict = _verdict(det, good.answer("P40", "fail", violated_laws=[7]))
    assert verdict.violated_laws == [1, 7]
    assert verdict.code == 106


def test_a_court_that_does_not_enforce_still_says_no() -> None:
    verdict = _verdict(good.report("P40", passed=False), good.answer("P40"), enforced=False)
    assert not verdict.phase_pass
    assert not verdict.enforced


def test_the_world_is_not_taken_from_the_evidence() -> None:
    world = replace(good.world("P40"), locked_target="ssh:another")
    assert good.failed(good.evidence("P40"), world) == ["target-unchanged"]
