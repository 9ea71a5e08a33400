"""The default auditor: passes good phases, and each rule alone can fail one."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from pytest_wf.auditor import _FIELDS, audit
from pytest_wf.court.phases import CONTRACTS
from tests.support import good_flow as good


def run(stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "pytest_wf.auditor"]
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=120)


def changed(given: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """`given` with the value at a dotted path replaced."""
    place = given
    *folders, last = path.split(".")
    for name in folders:
        place = place[name]
    place[last] = value
    return given


@pytest.mark.parametrize("code", CONTRACTS)
def test_a_good_phase_passes(code: str) -> None:
    answer = audit(good.document(code))
    assert (answer["verdict"], answer["violated_laws"], answer["evidence_refs"]) == ("pass", [], [])


SPOILT: list[tuple[int, str, str, Any]] = [
    (1, "P40", "evidence.active_config_path", ""),
    (1, "P40", "evidence.active_config_path", "/home/u/project/flows/other.env"),
    (1, "P40", "evidence.active_config_path", "/home/u/myflows/workflow.env"),
    (1, "P40", "evidence.active_config_sha256", "d" * 64),
    (1, "P40", "evidence.active_config_sha256", "sha"),
    (2, "P40", "evidence.mode", "primitive"),
    (2, "P40", "flow.phases_before", ["P00", "P10", "P20"]),
    (2, "P40", "flow.phases_before", ["P00", "P10", "P20", "P30", "P40"]),
    (2, "P40", "flow.phases_before", ["P10", "P00", "P20", "P30"]),
    (3, "P40", "flow.locked_target", "ssh:other"),
    (3, "P40", "evidence.target_source", "unresolved"),
    (3, "P40", "evidence.config_target", None),
    (4, "P00", "evidence.facts.interactive", None),
    (4, "P00", "evidence.facts.consent", "maybe"),
    (4, "P10", "flow.consent", False),
    (5, "P40", "evidence.commands", ["bootstrap", "checkout"]),
    (5, "P40", "evidence.command_name", "checkout"),
    (5, "P40", "evidence.fsm_before", "INIT"),
    (5, "P40", "evidence.fsm_after", None),
    (6, "P40", "evidence.started_at", "2026-01-02T03:04:05+00:00"),
    (6, "P40", "evidence.ended_at", "2026-01-02T03:04:04.999Z"),
    (6, "P40", "evidence.phase_status", "passed"),
    (6, "P40", "evidence.failure_code", True),
    (6, "P40", "evidence.remote_env_path", 5),
    (6, "P40", "evidence.artifacts", []),
    (6, "P40", "evidence.artifacts", [{"role": "bootstrap-log", "path": "x", "sha256": "x"}]),
    (6, "P40", "evidence.error", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3"),
    (6, "P40", "evidence.error", "AKIAIOSFODNN7EXAMPLE"),
    (6, "P40", "evidence.facts.x", ["hf_abcdefghijklmnopqrstuvwx"]),
    (6, "P40", "evidence.facts.x", {"ghp_abcdefghijklmnopqrstuvwxyz0123": 1}),
    (6, "P40", "evidence.repo_url", "https://user:hunter22@example.org/r.git"),
    (7, "P90", "evidence.teardown_mode", "keep"),
    (7, "P90", "flow.locked_target", None),
    (8, "P40", "contract.intent", "something else"),
    (8, "P40", "evidence.contract.postconditions", []),
    (9, "P40", "deterministic", None),
    (9, "P40", "deterministic.passed", False),
    (9, "P40", "deterministic.checks", []),
    (9, "P40", "deterministic.evidence_sha256", "f" * 64),
    (9, "P40", "deterministic.phase_id", "P50"),
]


@pytest.mark.parametrize(
    ("law", "code", "path", "value"), SPOILT, ids=[f"law{s[0]}-{i}" for i, s in enumerate(SPOILT)]
)
def test_each_rule_alone_fails_a_phase(law: int, code: str, path: str, value: Any) -> None:
    given = changed(good.document(code), path, value)
    given["laws"] = {str(law): "the law"}
    answer = audit(given)
    assert (answer["verdict"], answer["violated_laws"]) == ("fail", [law])
    assert answer["remediation"]
    assert all(f"(law {law})" in ref for ref in answer["evidence_refs"])


@pytest.mark.parametrize("name", sorted(_FIELDS))
def test_each_field_of_the_evidence_is_required(name: str) -> None:
    given = good.document("P40")
    del given["evidence"][name]
    assert 6 in good.violated(given)


def test_a_deletion_outside_of_p90_breaks_law_7() -> None:
    given = changed(good.document("P80"), "evidence.commands", ["pod-delete"])
    assert 7 in good.violated(given)


def test_a_bound_phase_without_a_target_breaks_law_3() -> None:
    given = changed(good.document("P40"), "evidence.resolved_target", None)
    given["flow"].pop("locked_target")
    assert good.violated(given) == [3]


def test_another_config_is_legal_where_the_canonical_one_allows_it() -> None:
    given = changed(good.document("P40"), "evidence.active_config_path", "/tmp/other.env")
    given["evidence"]["override_enabled"] = True
    assert good.violated(given) == []


def test_a_time_out_of_the_users_own_is_no_other_contract() -> None:
    given = good.document("P40")
    given["contract"]["timeout_s"] = given["evidence"]["contract"]["timeout_s"] = 60
    assert good.violated(given) == []


def test_a_users_own_phase_has_no_shipped_contract() -> None:
    given = good.document("P50")
    for contract in (given["contract"], given["evidence"]["contract"]):
        contract.update(code="P55", intent="warm")
    given["evidence"]["phase_id"] = given["deterministic"]["phase_id"] = "P55"
    given["flow"]["phases_before"].append("P50")
    assert good.violated(given) == []


def test_only_the_laws_that_apply_are_judged() -> None:
    given = changed(good.document("P40"), "evidence.mode", "primitive")
    given["laws"] = {"1": "…", "6": "…"}
    assert good.violated(given) == []


def test_a_known_violation_is_noted_and_not_counted() -> None:
    given = changed(good.document("P90"), "flow.config_sha256_at_start", "d" * 64)
    assert good.violated(given) == [1]
    given["flow"]["known_violations"] = [1]
    answer = audit(given)
    assert answer["verdict"] == "pass"
    assert answer["evidence_refs"] == ["active_config_sha256 (law 1)"]


def test_a_masked_password_is_no_secret() -> None:
    given = changed(
        good.document("P40"), "evidence.repo_url", "https://u:[redacted]@example.org/r.git"
    )
    assert good.violated(given) == []


def test_the_process_answers_one_json_object() -> None:
    done = run(json.dumps(good.document("P40")).encode())
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert answer["verdict"] == "pass"
    assert (answer["nonce"], answer["evidence_sha256"]) == ("n-1", "e" * 64)


@pytest.mark.parametrize(
    "stdin",
    [
        b"",
        b"[]",
        b"{}",
        b'{"evidence": {}, "contract": {}, "laws": {}}',
        b'{"evidence": {}, "contract": {}, "laws": {"10": ""}}',
        b'{"evidence": {}, "contract": {}, "laws": {"one": ""}}',
        b'{"evidence": {}, "evidence": {}, "contract": {}, "laws": {"1": ""}}',
    ],
)
def test_what_it_cannot_read_ends_it_with_status_2(stdin: bytes) -> None:
    done = run(stdin)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"pytest_wf.auditor: ")


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, pytest_wf.auditor; print(sorted(sys.modules))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    for heavy in ("pydantic", "paramiko", "pytest'", "typer", "rich"):
        assert f"'{heavy}" not in names
