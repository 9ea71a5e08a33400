"""The checks that apply to every phase.

Each judge answers one question, or a few related ones. Each check names its law,
the expected and the actual value, and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_wf.court.case import Case
from pytest_wf.court.next_command import next_command
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.records import Check, Evidence
from pytest_wf.evidence.times import parse_rfc3339
from pytest_wf.wire import fsm
from pytest_wf.wire.failures import code_of

#: Commands that the evidence of a phase skipped by a policy may name.
_IDLE = frozenset(
    {"precheck", "provision", "bind", "summary", "teardown", "sweep-skip", "fetch-skip"}
)

#: Transitions that the pod makes by itself.
_OWN_MOVES = {
    fsm.SWEEP_RUNNING: frozenset({fsm.SWEEP_COMPLETED, fsm.SWEEP_STALLED}),
    fsm.ARTIFACTS_FETCHING: frozenset(
        {fsm.SWEEP_COMPLETED, fsm.SWEEP_STALLED, fsm.ARTIFACTS_SYNCED}
    ),
}


def may_become(commands: Sequence[str], before: str, *, free: Sequence[str] = ()) -> frozenset[str]:
    """States that the pod may be in after `commands` ran from state `before`.

    Empty if one of the commands is illegal in every state that it could have run in: for the
    first that is `before` alone. Commands in `free` only read, or were forced, and are
    legal in any state.
    """
    states = frozenset({before})
    for command in commands:
        rule = fsm.COMMANDS.get(command)
        if rule is None:
            continue  # not in the table: it does not change the state
        met = states if command in free else states & rule.legal_in
        if not met:
            return frozenset()
        leaves = rule.leaves if met - rule.stays_in else frozenset()
        if command == "pod-status" and not met & {fsm.INIT, fsm.POD_TERMINATED}:
            leaves = frozenset()  # a pod that is ready or further keeps its state
        states = _with_own_moves(met | leaves)
    return _with_own_moves(states)


def _outcome(case: Case) -> list[Check]:
    e = case.evidence
    failed = e.phase_status == "fail"
    following = next_command(case.contract.code, e.failure_kind, e.options, e.fsm_after)
    shown = f"{e.failure_kind or 'failed'} ({e.failure_code}): {e.error}" if failed else "ok"
    right_code = code_of(e.failure_kind, case.contract.family) if failed else 0
    return [
        Check(
            name="outcome",
            ok=not failed,
            expected="the phase did what its contract says",
            actual=shown[:2000],
            remedy=f"Try `{following}`.",
        ),
        Check(
            name="code-agrees",
            ok=e.failure_code == right_code and bool(e.failure_kind) == failed,
            law=6,
            expected=f"failure code {right_code}",
            actual=f"{e.failure_code} {e.failure_kind}".strip(),
            remedy="Report the kind of the failure that ended the phase.",
        ),
        Check(
            name="rc-agrees",
            ok=failed or e.command_rc in (None, 0),
            law=6,
            expected="command_rc 0, or none",
            actual=str(e.command_rc),
            remedy="A command that failed fails its phase.",
        ),
    ]


def _identity(case: Case) -> list[Check]:
    e = case.evidence
    return [
        Check(
            name="contract-as-declared",
            ok=e.phase_id == case.contract.code and e.contract == case.contract.as_data(),
            law=5,
            expected=f"the contract that {case.contract.code} declared",
            actual=f"a contract of {e.contract.get('code')!r} in evidence of {e.phase_id}",
            remedy="Declare the contract once, before the phase runs.",
        ),
        Check(
            name="times-in-order",
            ok=parse_rfc3339(e.started_at) <= parse_rfc3339(e.ended_at),
            law=6,
            expected="started_at is not after ended_at",
            actual=f"{e.started_at} to {e.ended_at}",
            remedy="Check this machine's clock; it must not step back while a flow runs.",
        ),
    ]


def _commands(case: Case) -> list[Check]:
    e = case.evidence
    ran = [*e.commands, *([e.command_name] if e.command_name else [])]
    strays = sorted(set(ran) - set(case.contract.commands))
    idle = e.phase_status == "ok" and case.contract.code in CONTRACTS and not ran
    deletes = "pod-delete" in ran
    return [
        Check(
            name="commands-in-contract",
            ok=not strays,
            law=5,
            expected=", ".join(case.contract.commands) or "no command",
            actual=", ".join(strays) or "within",
            remedy="Declare the command in the phase's mark, or move it to its own phase.",
        ),
        Check(
            name="something-ran",
            ok=not idle,
            law=5,
            expected="one of " + ", ".join(case.contract.commands),
            actual="nothing ran" if idle else "ran",
            remedy="Call the phase's operation in its body.",
        ),
        Check(
            name="nothing-destroyed",
            ok=not deletes or (e.phase_id == "P90" and e.teardown_mode == "delete"),
            law=7,
            expected="no deletion except by P90, and only on request",
            actual="pod-delete" if deletes else "nothing deleted",
            remedy="Ask for it with --wf-teardown=delete.",
        ),
    ]


def _config(case: Case) -> list[Check]:
    e = case.evidence
    digests = {
        e.active_config_sha256,
        case.world.config_sha256_at_start,
        case.world.config_sha256_now,
    }
    return [
        Check(
            name="config-unchanged",
            ok=len(digests) == 1,
            law=1,
            expected=case.world.config_sha256_at_start,
            actual=f"{e.active_config_sha256} in evidence, {case.world.config_sha256_now} on disk",
            remedy="Restore the config as it was, or begin a new flow.",
        )
    ]


def _target(case: Case) -> list[Check]:
    e = case.evidence
    return [
        Check(
            name="target-unchanged",
            ok=(e.resolved_target or None) == (case.world.locked_target or None),
            law=3,
            expected=str(case.world.locked_target),
            actual=str(e.resolved_target),
            remedy="One flow, one target: begin a new flow for another one.",
        )
    ]


def _states(case: Case) -> list[Check]:
    e = case.evidence
    checks = []
    for moment, state, legal in (
        ("before", e.fsm_before, case.contract.states_before),
        ("after", e.fsm_after, case.contract.states_after),
    ):
        bad = state not in legal if legal is not None and state is not None else False
        # unknown is not a state; only a phase that did nothing need not have read it
        unknown = legal is not None and state is None and e.phase_status == "ok"
        checks.append(
            Check(
                name=f"state-{moment}",
                ok=(not bad and not unknown) or e.phase_status == "fail",
                law=5,
                expected=_any_of(legal),
                actual=str(state),
                remedy="Look at `wf fsm-status`.",
            )
        )
    legal_now = _legal_transition(e)
    agrees = case.world.fsm_now is None or e.fsm_after is None
    agrees = agrees or case.world.fsm_now in _with_own_moves(frozenset({str(e.fsm_after)}))
    return [
        *checks,
        Check(
            name="transition-legal",
            ok=legal_now,
            law=5,
            expected=f"a transition that {', '.join(e.commands) or 'no command'} may make",
            actual=f"{e.fsm_before} to {e.fsm_after}",
            remedy="Look at `wf fsm-status`; `wf fsm-reset` is recorded as manual.",
        ),
        Check(
            name="state-as-found",
            ok=agrees,
            law=6,
            expected=str(e.fsm_after),
            actual=str(case.world.fsm_now),
            remedy="Look at `wf fsm-status`: another controller works on this pod.",
        ),
    ]


def _legal_transition(e: Evidence) -> bool:
    if e.fsm_before is None or e.fsm_after is None:
        return True
    if e.phase_status != "ok":
        return True if e.fsm_before == e.fsm_after else _reachable(e)
    return _reachable(e)


def _reachable(e: Evidence) -> bool:
    free = ["bootstrap", "checkout"] if e.options.get("sweep") in ("resume", "skip") else []
    if e.facts.get("force") is True:
        free.append("pod-delete")
    commands = e.commands or [e.command_name]
    assert e.fsm_before is not None
    return e.fsm_after in may_become(commands, e.fsm_before, free=free)


def _artifacts(case: Case) -> list[Check]:
    e = case.evidence
    have = {a.role for a in e.artifacts}
    missing = (
        [r for r in case.contract.artifacts if r not in have] if e.phase_status == "ok" else []
    )
    wrong = []
    for artifact in e.artifacts:
        if artifact.where == "local":
            found = case.world.artifacts_found.get(artifact.path)
            if found != artifact.sha256:
                wrong.append(f"{artifact.path}: {found or 'missing'}")
    broken = [f"{path}: {reason}" for path, reason in sorted(case.world.unreadable.items())]
    return [
        Check(
            name="artifacts-present",
            ok=not missing,
            law=6,
            expected=", ".join(case.contract.artifacts) or "none asked",
            actual="missing: " + ", ".join(missing) if missing else "all present",
            remedy="Let the phase's operation end; it makes the artifact.",
        ),
        Check(
            name="artifacts-as-stated",
            ok=not wrong,
            law=6,
            expected="each local artifact exists with the digest stated",
            actual="; ".join(wrong[:20]) or "as stated",
            remedy="Leave a flow's files alone while it runs.",
        ),
        Check(
            name="artifacts-parse",
            ok=not broken,
            law=6,
            expected="each JSON artifact parses",
            actual="; ".join(broken[:20]) or "they parse",
            remedy="Write artifacts atomically, as strict JSON.",
        ),
    ]


def _skip(case: Case) -> list[Check]:
    e = case.evidence
    if e.phase_status != "skip":
        return []
    reason = e.facts.get("skip_reason")
    done = []
    for command in dict.fromkeys([*e.commands, e.command_name]):
        rule = fsm.COMMANDS.get(command)
        if command and command not in _IDLE and (rule is None or rule.leaves):
            done.append(command)
    if e.facts.get("rented"):
        done.append(f"rented {e.facts['rented']}")
    before, after = e.fsm_before, e.fsm_after
    if before and after and after not in _with_own_moves(frozenset({before})):
        done.append(f"moved the pod from {before} to {after}")
    return [
        Check(
            name="skip-has-reason",
            ok=isinstance(reason, str) and bool(reason.strip()),
            law=6,
            expected="the reason of the skip",
            actual=str(reason),
            remedy="Say which policy made the phase do nothing.",
        ),
        Check(
            name="skip-did-nothing",
            ok=not done,
            law=5,
            expected="a skipped phase did nothing",
            actual=", ".join(done) or "nothing",
            remedy="A phase that did something is ok or failed, never skipped.",
        ),
    ]


JUDGES: tuple[Callable[[Case], list[Check]], ...] = (
    _outcome,
    _identity,
    _commands,
    _config,
    _target,
    _states,
    _artifacts,
    _skip,
)


def _with_own_moves(states: frozenset[str]) -> frozenset[str]:
    return states.union(*(_OWN_MOVES.get(s, frozenset()) for s in states))


def _any_of(states: frozenset[str] | None) -> str:
    if states is None:
        return "any"
    return ", ".join(s for s in fsm.STATES if s in states)
