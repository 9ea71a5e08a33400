"""`wf doctor`: every readiness check, here and on the pod, and one verdict. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_wf.errors import OperationFailed, TransportError, WfError
from pytest_wf.flow.operations.git_relay import demand_readable
from pytest_wf.flow.operations.precheck import local_findings
from pytest_wf.flow.operations.rented_pods import renter_of
from pytest_wf.flow.operations.start_wish import wish_of
from pytest_wf.flow.readiness.account_checks import ACCOUNT_CHECKS, RentingAccount
from pytest_wf.flow.readiness.commit_checks import known_commit
from pytest_wf.flow.readiness.finding import (
    PROBLEM,
    WAITS,
    WARNING,
    Finding,
    ReadinessCheck,
    ok,
    problem,
    problems_of,
    run_checks,
)
from pytest_wf.flow.readiness.local_checks import Controller
from pytest_wf.flow.readiness.pod_checks import POD_CHECKS, Pod
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.project.project import Project
from pytest_wf.wire import fsm, operations
from pytest_wf.wire.remotes import Wanted, remote

#: Importing torch from a network disk takes minutes.
_LONGEST_S = 300.0
CONNECTION = "connection"


@dataclass(frozen=True)
class Verdict(Result):
    """The findings of all checks, and whether a flow can start."""

    findings: tuple[Finding, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether there is no problem."""
        return not problems_of(self.findings)

    @property
    def last_line(self) -> str:
        """The number of problems, or ``ready`` with the number of warnings."""
        if not self.is_ready:
            return _counted(len(problems_of(self.findings)), "problem")
        warnings = sum(finding.status == WARNING for finding in self.findings)
        return f"ready, with {_counted(warnings, 'warning')}" if warnings else "ready"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def doctor(controller: Controller, open_session: Callable[[], PodSession]) -> Verdict:
    """Run all checks. `open_session` returns the session with the pod, which writes nothing."""
    project = controller.project
    found = local_findings(controller)
    facts: dict[str, Any] = {}
    is_blocked = any(f.check == "access" and f.status == PROBLEM for f in found)
    renter = renter_of(project, controller.providers)
    if renter is not None and not is_blocked:
        found += run_checks(ACCOUNT_CHECKS, RentingAccount(project, renter))
    found += run_checks(RELAY_CHECKS, project)
    if is_blocked or project.renter or not project.config.target:
        why = "P10 rents the pod" if project.renter else "there is no target"
        why = "the pod cannot be reached, see access" if is_blocked else why
        found += [Finding(WAITS, f"not checked: {why}", check=CONNECTION), *_waiting(why)]
    else:
        found += _look(open_session, project, facts)
    wrong = len(problems_of(found))
    checks = [finding.as_json() for finding in found]
    facts = {"ready": not wrong, "problems": wrong, "checks": checks, **facts}
    return Verdict("doctor", facts, findings=tuple(found))


def _relay(project: Project) -> Iterator[Finding]:
    config = project.config
    if config.repo_url == "." or config.checkout_via != "bundle":
        return
    change = "" if config.checkout_pr is None else str(config.checkout_pr)
    wanted = Wanted(config.checkout_branch, change, config.expect_git_sha)
    demand_readable(config.repo_url, wanted)
    yield ok(f"this machine can read {remote(config.repo_url).url}")


#: The repository that this machine reads for the pod; it is queried, nothing is fetched.
RELAY_CHECKS = (
    ReadinessCheck(
        "relayed-repository",
        "with `CHECKOUT_VIA=bundle`, this machine can read `REPO_URL`, and it has "
        "`CHECKOUT_BRANCH` or `CHECKOUT_PR`",
        _relay,
    ),
)


def _look(
    open_session: Callable[[], PodSession], project: Project, facts: dict[str, Any]
) -> list[Finding]:
    """The pod's checks; `facts` receives the pod's answer."""
    args = {
        "rows": [row.as_json() for row in project.all_rows],
        "selected": project.selected,
        "git_sha": known_commit(project).lower(),
    }
    try:
        session = open_session()
        # connected before, as connecting must not count as a clock difference
        args.update(wish_of(session))
        asked = time.time()
        answer = session.request(operations.READINESS, args, timeout_s=_LONGEST_S)
        ended = time.time()
        state, unread = _state_of(session)
        facts.update(probe=answer, state=state, connection=session.connection_facts())
    except (WfError, TimeoutError, OSError) as e:
        text, remedy = (e.message, e.remedy) if isinstance(e, WfError) else (str(e), "Try again.")
        kind = getattr(e, "kind", TransportError.kind)
        failed = replace(problem(text, remedy, kind), check=CONNECTION)
        return [failed, *_waiting("the pod was not reached")]
    shown = ", ".join(f"{key} {facts['connection'][key]}" for key in _shown(facts["connection"]))
    reached = replace(ok(shown), check=CONNECTION)
    judged = judge_pod(project, answer, state, asked, ended)
    told = {finding.check for finding in unread}
    return [reached, *[one for one in judged if one.check not in told], *unread]


def _state_of(session: PodSession) -> tuple[dict[str, Any], list[Finding]]:
    """The pod's state, and why it cannot be read; then a new pod's state replaces it."""
    try:
        return session.state(), []
    except OperationFailed as e:
        if e.kind != "state-unreadable":
            raise
        found = replace(problem(e.message, e.remedy, e.kind), check="campaign")
        return {"state": fsm.INIT, "campaign_id": "", "lease": None}, [found]


def judge_pod(
    project: Project,
    answer: Mapping[str, Any],
    state: Mapping[str, Any],
    asked: float,
    ended: float,
) -> list[Finding]:
    """The findings on the pod's answer to a request made from `asked` to `ended`.

    Both are Unix times in seconds, of this machine.
    """
    found: list[Finding] = []
    for check in POD_CHECKS:
        try:
            at = float(answer["unix_time_s"])
            # exact to the duration of the request
            offset = max(at - ended, 0.0) or min(at - asked, 0.0)
            found += run_checks([check], Pod(project, answer, state, offset))
        except (LookupError, TypeError, ValueError, AttributeError) as e:
            text = f"the pod's answer cannot be read ({type(e).__name__})."
            remedy = "Another process may answer in its place; look at the pod."
            found.append(replace(problem(text, remedy, "hostile-answer"), check=check.name))
    return found


def _shown(connection: Mapping[str, Any]) -> list[str]:
    return [key for key in ("address", "host_key", "host_key_trust") if connection.get(key)]


def _waiting(why: str) -> list[Finding]:
    return [Finding(WAITS, f"not checked: {why}", check=check.name) for check in POD_CHECKS]
