"""What each core phase must have brought about, as far as its facts can prove it.

The facts are those that operations answer (`flow.results.Result.facts`), merged into the
evidence of the phase that called them. A fact that is absent proves nothing, so its check
fails. Read here, by phase:

    P00  laws, config_sha256                P60  (campaign_id of the evidence)
    P10  rented                             P70  waited, expectations (rows of the evidence)
    P20  (target of the evidence)           P80  verified, files
    P30  connection, config_sync            P90  deleted, kept, removed, released
    P40  missing                            P99  phases
    P50  dirty, torch (git_sha of the evidence)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pytest_wf.config import expect
from pytest_wf.court.case import Case
from pytest_wf.court.constitution import LAWS
from pytest_wf.evidence.records import Check
from pytest_wf.wire import fsm
from pytest_wf.wire.states import LOST, ROW_ENDED, ROW_KNOWN

__all__ = ["postconditions"]

#: Row states that will not change by themselves, and all states that say what a row does.

_GIT_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def postconditions(case: Case) -> list[Check]:
    """The checks of a core phase that did something.

    A phase that failed has promised nothing, and one that a policy skipped is judged by
    the general checks alone. P90 is judged whatever happened in it.
    """
    evidence = case.evidence
    if evidence.phase_id == "P90":
        return _teardown(case)
    judge = _OF.get(evidence.phase_id)
    if judge is None or evidence.phase_status != "ok":
        return []
    return judge(case)


def _check(name: str, ok: object, law: int, expected: str, actual: object, remedy: str) -> Check:
    return Check(
        name=name, ok=bool(ok), law=law, expected=expected, actual=str(actual), remedy=remedy
    )


def _precheck(case: Case) -> list[Check]:
    e = case.evidence
    laws = e.facts.get("laws")
    digest = e.facts.get("config_sha256")
    return [
        _check(
            "laws-loaded",
            laws == sorted(LAWS),
            9,
            f"laws {sorted(LAWS)}",
            laws,
            "Call the precheck operation in P00's body.",
        ),
        _check(
            "config-hash-recorded",
            digest == e.active_config_sha256,
            1,
            e.active_config_sha256,
            digest,
            "Leave the config alone while a flow runs.",
        ),
    ]


def _provision(case: Case) -> list[Check]:
    e = case.evidence
    rented = e.facts.get("rented")
    return [
        _check(
            "pod-rented",
            isinstance(rented, str) and rented,
            3,
            "the pod that was rented",
            rented,
            "Look at `wf pod-list` for a pod that nobody bound.",
        ),
        _check(
            "renting-allowed",
            case.world.policy.get("provision", "auto") != "skip",
            5,
            "no pod rented under --wf-provision=skip",
            rented,
            "Look at `wf pod-list`, and delete what was not asked for.",
        ),
    ]


def _bind(case: Case) -> list[Check]:
    e = case.evidence
    bound = bool(e.resolved_target) and e.target_source != "unresolved"
    return [
        _check(
            "target-bound",
            bound,
            3,
            "one target, and where it comes from",
            f"{e.resolved_target} ({e.target_source})",
            "Set LIUM_TARGET or OPS_DEFAULT_HOST.",
        ),
        _check(
            "target-locked",
            case.world.locked_target,
            3,
            "the target is locked for the flow",
            case.world.locked_target,
            "Call the bind operation in P20's body.",
        ),
    ]


def _ready(case: Case) -> list[Check]:
    e = case.evidence
    connection = e.facts.get("connection")
    proofs = [
        value
        for key, value in (connection.items() if isinstance(connection, dict) else ())
        if value and ("host_key" in key or "fingerprint" in key)
    ]
    synced = e.facts.get("config_sync")
    digest = synced.get("sha256") if isinstance(synced, dict) else None
    here = [a.sha256 for a in e.artifacts if a.role == "remote-config"]
    return [
        _check(
            "host-key-verified",
            proofs or _is_this_machine(connection),
            3,
            "the fingerprint of the host's key",
            connection,
            "Pin the key with SSH_HOST_FINGERPRINT or a known_hosts file.",
        ),
        _check(
            "config-synced",
            isinstance(digest, str) and _SHA256.fullmatch(digest) and here == [digest],
            6,
            "the digest of the config on the pod, the same in facts and artifact",
            f"{digest}, {here}",
            "Run `wf config-sync`.",
        ),
    ]


def _is_this_machine(connection: object) -> bool:
    """Whether the pod was reached without a network, so that no key could be asked for."""
    return isinstance(connection, dict) and connection.get("address") == "local"


def _bootstrap(case: Case) -> list[Check]:
    e = case.evidence
    missing = e.facts.get("missing")
    return [
        _check(
            "nothing-missing",
            missing == [],
            5,
            "no prerequisite is missing",
            missing,
            "Set AUTO_INSTALL_PREREQS=1, or install them in the pod's image.",
        )
    ]


def _checkout(case: Case) -> list[Check]:
    e = case.evidence
    sha = e.git_sha or ""
    wanted = case.world.policy.get("expect_git_sha", "").lower()
    dirty = e.facts.get("dirty")
    torch = e.facts.get("torch")
    cuda = isinstance(torch, dict) and bool(torch.get("cuda"))
    return [
        _check(
            "commit-recorded",
            _GIT_SHA.fullmatch(sha),
            6,
            "a full commit id",
            e.git_sha,
            "Run the checkout again.",
        ),
        _check(
            "commit-as-asked",
            not wanted or sha == wanted,
            5,
            wanted or "any commit",
            e.git_sha,
            "Correct EXPECT_GIT_SHA, or check out that commit.",
        ),
        _check(
            "checkout-clean",
            dirty is False or dirty == [],
            5,
            "no tracked file is modified",
            dirty,
            "Commit or drop the changes on the pod, or set CHECKOUT_FORCE_CLEAN=1.",
        ),
        _check(
            "torch-as-asked",
            cuda or case.world.policy.get("require_gpu_torch", "0") != "1",
            5,
            "torch with CUDA, as REQUIRE_GPU_TORCH=1 asks",
            torch,
            "Use an image with CUDA torch, or set REQUIRE_GPU_TORCH=0.",
        ),
    ]


def _sweep(case: Case) -> list[Check]:
    e = case.evidence
    under_way = {fsm.SWEEP_RUNNING, fsm.SWEEP_COMPLETED, fsm.SWEEP_STALLED}
    asked = "sweep-" + case.world.policy.get("sweep", e.command_name.partition("-")[2])
    return [
        _check(
            "campaign-known",
            e.campaign_id,
            6,
            "the campaign's id",
            e.campaign_id,
            "Look at `wf sweep-status`.",
        ),
        _check(
            "sweep-as-asked",
            e.command_name == asked,
            5,
            asked,
            e.command_name,
            "Call the launch operation in P60's body; it reads --wf-sweep.",
        ),
        _check(
            "sweep-under-way",
            e.fsm_after in under_way,
            5,
            "the campaign runs or has ended",
            e.fsm_after,
            "Look at `wf sweep-status` and `wf logs`.",
        ),
    ]


def _monitor(case: Case) -> list[Check]:
    e = case.evidence
    rows = e.rows if e.rows is not None else {}
    states = {run_id: _state_of(row) for run_id, row in rows.items()}
    waited = e.facts.get("waited") is True
    legal = ROW_ENDED | {LOST} if waited else ROW_KNOWN
    unknown = sorted(f"{run_id}: {state}" for run_id, state in states.items() if state not in legal)
    return [
        _check(
            "rows-known",
            rows and not unknown,
            5,
            "each row has ended" if waited else "each row's state is known",
            ", ".join(unknown[:20]) or f"{len(rows)} rows",
            "Look at `wf sweep-status`; attach again with --wf-sweep=resume --wf-wait=true.",
        ),
        _check(
            "waited-as-asked",
            waited
            or case.world.policy.get("wait", "false") != "true"
            or case.world.policy.get("sweep") == "skip",
            5,
            "rows are awaited under --wf-wait=true",
            f"waited: {waited}",
            "Call the monitor operation in P70's body.",
        ),
        *_expectations(case, rows),
    ]


def _expectations(case: Case, rows: Mapping[str, Any]) -> list[Check]:
    """Whether each row with a good end was held against all that was expected of it.

    Judged anew from the row's own metrics. A row that breaks its expectations is a failed row,
    not a failed phase: what counts here is that nobody lost one on the way.
    """
    general = case.world.policy.get("expect", "")
    recorded = case.evidence.facts.get("expectations")
    recorded = recorded.get("rows") if isinstance(recorded, dict) else None
    recorded = recorded if isinstance(recorded, dict) else {}
    judged, wrong = 0, []
    for run_id, row in rows.items():
        if not isinstance(row, dict) or row.get("state") != "success":
            continue
        clauses = expect.clauses_of(general, str(row.get("expect") or ""))
        if not clauses:
            continue
        judged += 1
        metrics = row.get("metrics")
        given = recorded.get(run_id)
        if given != expect.rejudged(clauses, metrics if isinstance(metrics, dict) else {}, given):
            wrong.append(run_id)
    if not judged:
        return []
    return [
        _check(
            "rows-judged",
            not wrong,
            6,
            "each row with a good end is held against its expectations",
            "not, or not as its metrics are: " + ", ".join(wrong[:20])
            if wrong
            else f"{judged} rows",
            "Call the monitor operation in P70's body.",
        )
    ]


def _state_of(row: Any) -> str:
    return str(row.get("state") if isinstance(row, dict) else row)


def _fetch(case: Case) -> list[Check]:
    e = case.evidence
    verified, files = e.facts.get("verified"), e.facts.get("files")
    return [
        _check(
            "digests-verified",
            verified is True and isinstance(files, int),
            6,
            "every fetched file has the digest that the pod gave",
            f"verified: {verified}, files: {files}",
            "Run `wf fetch-all` again.",
        ),
        _check(
            "fetch-ended",
            e.fsm_after != fsm.ARTIFACTS_FETCHING,
            5,
            "the pod is no longer in ARTIFACTS_FETCHING",
            e.fsm_after,
            "Run `wf fetch-all` again.",
        ),
    ]


def _teardown(case: Case) -> list[Check]:
    e = case.evidence
    deleting = "pod-delete" in e.commands
    asked = case.world.policy.get("teardown", "keep")
    if e.flow_status != "ok":
        asked = case.world.policy.get("teardown_on_failure", "keep")
    done = "delete" if deleting else "keep"
    checks = [
        _check(
            "teardown-as-asked",
            e.teardown_mode == asked
            and (done == asked or (case.world.locked_target is None and not deleting)),
            7,
            asked,
            f"{done}, by the policy {e.teardown_mode}",
            "Say --wf-teardown or WF_TEARDOWN_ON_FAILURE; nothing else decides.",
        )
    ]
    if e.phase_status == "fail":
        return checks
    facts = e.facts
    if deleting:
        checks.append(
            _check(
                "deletion-proved",
                facts.get("deleted") is True and facts.get("removed") and "released" in facts,
                7,
                "what was removed and released",
                {k: facts.get(k) for k in ("deleted", "removed", "released")},
                "Look at `wf pod-list`, and at the provider's own page.",
            )
        )
    else:
        checks.append(
            _check(
                "kept-and-named",
                facts.get("deleted") is False
                and (facts.get("kept") or case.world.locked_target is None),
                7,
                "the pod that is kept, by name",
                {k: facts.get(k) for k in ("deleted", "kept")},
                "Call the teardown operation in P90's body.",
            )
        )
    return checks


def _summary(case: Case) -> list[Check]:
    e = case.evidence
    phases = e.facts.get("phases")
    codes = list(phases) if isinstance(phases, (dict, list)) else []
    return [
        _check(
            "phases-in-order",
            codes and codes == sorted(set(codes)) and "P90" in codes,
            2,
            "every phase that ran, in the order of codes",
            codes,
            "Call the summary operation in P99's body, and let P90 run before it.",
        )
    ]


_OF: dict[str, Callable[[Case], list[Check]]] = {
    "P00": _precheck,
    "P10": _provision,
    "P20": _bind,
    "P30": _ready,
    "P40": _bootstrap,
    "P50": _checkout,
    "P60": _sweep,
    "P70": _monitor,
    "P80": _fetch,
    "P99": _summary,
}
