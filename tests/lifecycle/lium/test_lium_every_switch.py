"""Whole flows against every switch of an account, in each phase that meets it: no pod leaks.

What is asserted holds however a case ends: at most one pod of the flow is billed at any time,
none where the flow says that it is deleted, and whatever is billed in the end was named by the
flow and is known to `wf pod-list`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import pytest

from pytest_wf.loopback import Behaviour, Fault, LoopbackLium, Node
from tests.support.waiting import until

pytestmark = pytest.mark.slow

Act = Callable[[LoopbackLium], None]

#: Waits, small enough for a test, in which a slow machine logs in, so that each case is met; what
#: comes of it under load may differ, and leaks nothing.
KEYS = {
    "LIUM_UP_TIMEOUT_SECS": "20",
    "LIUM_LISTING_LAG_SECS": "2",
    "LIUM_DELETE_TIMEOUT_SECS": "6",
    "POD_WAIT_MAX_SECS": "15",
    "WF_TEARDOWN_ON_FAILURE": "delete",
}
WHOLE = ("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
WITHOUT_SWEEP = ("--wf-sweep=skip", "--wf-teardown=delete")
#: The loopback account does in this route what a case says; no flow asks for it by itself.
_TELL = """
import os, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
opener.open(os.environ["LIUM_BASE_URL"] + "/machines", timeout=60).read()
"""
KINDS = ("429", "503", "drop-before", "drop-after")


@dataclass(frozen=True)
class Case:
    """What is wrong, and from when on."""

    name: str
    #: Happens before the flow begins, or in a phase of its own with the code `at`.
    act: Act
    at: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = WITHOUT_SWEEP
    #: Where it is not, P30 gives up after a second and P90 ends the pod.
    is_reachable: bool = True


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    code: int
    deleted: bool
    leaked: int
    wrong: tuple[str, ...]


def switch(**settings: object) -> Act:
    def act(api: LoopbackLium) -> None:
        for name, value in settings.items():
            assert hasattr(api.behaviour, name)
            setattr(api.behaviour, name, value)

    return act


def fault(*routes: str, kind: str, times: int = 1, skip: int = 0) -> Act:
    return lambda api: api.behaviour.faults.extend(
        Fault(route, kind, times=times, skip=skip) for route in routes
    )


def reboot(api: LoopbackLium) -> None:
    for pod in api.account.billed():
        api.account.reboot(pod.id)


def vanish(api: LoopbackLium) -> None:
    for pod in api.account.billed():
        api.account._end(pod)


def expire(api: LoopbackLium) -> None:
    for pod in api.account.billed():
        pod.removal_at = datetime.now(timezone.utc)
    api.account.billed()  # the provider looks for removals that are due


def dearer(api: LoopbackLium) -> None:
    for pod in api.account.billed():
        pod.usd_per_hour *= 2


def another_key(api: LoopbackLium) -> None:
    for pod in api.account.billed():
        pod.machine.new_host_key()  # type: ignore[union-attr]
        api.account.reboot(pod.id)


def forget_all(api: LoopbackLium) -> None:
    """A good day again, so that what exists can be looked at."""
    for name, value in vars(Behaviour()).items():
        setattr(api.behaviour, name, value)


# ---- the cases ---------------------------------------------------------------------------


def of_p10() -> list[Case]:
    moods: dict[str, dict[str, Any]] = {
        "a good day": {},
        "creation failed": {"creation_failures": 1},
        "never boots": {"never_boot": 1},
        "never boots, may be deleted": {"never_boot": 1, "refuse_delete_while_pending": False},
        "every node taken": {"taken": 9},
        "very late listing": {"listing_delay_s": 6.0},
        "lost answer, very late listing": {
            "listing_delay_s": 6.0,
            "faults": [Fault("rent", "drop-after")],
        },
        "lost answer, keys not honoured": {
            "idempotent": False,
            "faults": [Fault("rent", "drop-after")],
        },
        "price rises": {"price_rises_after": 1},
        "billed dearer": {"billed_factor": 1.4},
        "removal not scheduled": {"ignore_schedule": True},
        "no balance": {"balance_usd": 0.1},
        "may only rent": {"scopes": frozenset({"read", "rent"})},
    }
    cases = [Case(name, switch(**settings)) for name, settings in moods.items()]
    cases += [Case(f"{kind} of rent", fault("rent", kind=kind)) for kind in KINDS]
    for kind in ("503", "drop-after"):
        cases.append(Case(f"{kind} once of all else", fault("nodes", "pods", "me", kind=kind)))
        cases.append(
            Case(f"{kind} of pods after a listing", fault("pods", kind=kind, times=-1, skip=1))
        )
    # what comes of a rent is seen in P10 and P90; what is between them is of other cases
    return [replace(case, is_reachable=False, keys={"POD_WAIT_MAX_SECS": "1"}) for case in cases]


def of_p30() -> list[Case]:
    cases = [
        Case("sshd comes up late", switch(sshd_delay_s=1.0), keys={"POD_WAIT_MAX_SECS": "30"}),
        Case("sshd never comes up", switch(sshd_delay_s=900.0)),
        Case("pods down for ever", fault("pods", kind="503", times=-1), "P25"),
        Case("vanishes before P30", vanish, "P25"),
        Case("time to live ends before P30", expire, "P25"),
        Case("another port before P30", reboot, "P25"),
    ]
    return cases + [Case(f"{k} of pods", fault("pods", kind=k), "P25") for k in KINDS]


def of_p40_to_p80() -> list[Case]:
    events: dict[str, Act] = {"another port": reboot, "vanishes": vanish}
    cases = [
        Case(f"{name} before {met}", act, at, options=WHOLE)
        for at, met in (
            ("P35", "P40"),
            ("P45", "P50"),
            ("P55", "P60"),
            ("P65", "P70"),
            ("P75", "P80"),
        )
        for name, act in events.items()
    ]
    more: dict[str, tuple[Act, str]] = {
        "time to live ends in the sweep": (expire, "P65"),
        "dearer in the sweep": (dearer, "P65"),
        "another host key in the sweep": (another_key, "P65"),
        "API down from the sweep on": (
            fault("pods", "delete", "schedule", kind="drop-before", times=-1),
            "P65",
        ),
    }
    return cases + [Case(n, act, at, options=WHOLE) for n, (act, at) in more.items()]


def of_p90() -> list[Case]:
    acts: dict[str, Act] = {
        "DELETE takes a while": switch(removing_s=1.0),
        "DELETE takes for ever": switch(removing_s=900.0),
        "DELETE is ignored": switch(ignore_delete=True),
        "DELETE and schedules are ignored": switch(ignore_delete=True, ignore_schedule=True),
        "latency": switch(latency_s=0.2),
        "may not even look": switch(scopes=frozenset({"rent"})),
        "it has vanished": vanish,
        "its time to live is over": expire,
        "everything is down": fault(
            "pods", "delete", "schedule", "statement", kind="503", times=-1
        ),
    }
    for kind in ("429", "drop-after"):
        acts[f"{kind} of delete for ever"] = fault("delete", kind=kind, times=-1)
    for kind in KINDS:
        acts[f"{kind} of everything, once"] = fault("delete", "pods", "schedule", kind=kind)
    return [Case(name, act, "P85") for name, act in acts.items()]


#: One or two of each phase and kind, for every run of the suite; `make test-long` tries them all.
ESSENTIAL = {
    "creation failed",
    "lost answer, very late listing",
    "vanishes before P60",
    "another port before P70",
    "DELETE is ignored",
    "everything is down",
    "drop-after of everything, once",
}


def essential() -> list[Case]:
    every = [*of_p10(), *of_p30(), *of_p40_to_p80(), *of_p90()]
    chosen = [case for case in every if case.name in ESSENTIAL]
    assert len(chosen) == len(ESSENTIAL)
    return chosen


# ---- a flow of each ----------------------------------------------------------------------


def fly(
    case: Case, new_account: Callable[..., LoopbackLium], project_of: Callable[..., Any]
) -> Outcome:
    """Run a flow through the case, and look at the books."""
    nodes = [Node(price_per_gpu=2.0), Node(price_per_gpu=2.1)]
    api = new_account(Behaviour(), nodes, is_reachable=case.is_reachable)
    project = project_of(api, **{**KEYS, **case.keys})
    if case.at:
        project.phase(case.at, _TELL)
        api.watch = lambda number, route, moment: (
            _strike(case, api, project) if (route, moment) == ("machines", "before") else None
        )
    else:
        case.act(api)
    flown = project.flow(*case.options)
    summary = flown.record("flow.summary")
    ended = flown.record("phase.P90.evidence")["facts"]
    billed = api.account.billed()
    wrong, leaked = [], 0
    forget_all(api)
    known = set()
    if billed:
        listed = project.wf("pod-list", "--json")
        known = {pod["id"] for pod in json.loads(listed.stdout)["pods"]}
    for pod in billed:
        if pod.id not in known or not (pod.id in flown.output or pod.name in flown.output):
            leaked += 1
    if flown.code not in (0, 1) or summary["exit_code"] != flown.code:
        wrong.append(f"exit status {flown.code}: {flown.output[-2000:]}")
    if api.account.most_billed > 1:
        wrong.append(f"{api.account.most_billed} pods were billed at one time")
    if leaked:
        wrong.append(f"{leaked} pods leaked: {flown.output[-3000:]}")
    deleted = ended.get("deleted") is True
    if billed and (deleted or flown.code == 0):
        wrong.append("a pod is billed that the flow says is deleted")
    if case.at and "machines" not in api.requests:
        wrong.append(f"never met: {flown.output[-2000:]}")
    return Outcome(flown.code, deleted, leaked, tuple(f"{case.name}: {what}" for what in wrong))


def _strike(case: Case, api: LoopbackLium, project: Any) -> None:
    """Do what the case says: at once, or, to a pod, as soon as this phase's court has risen."""
    if case.act not in (reboot, vanish, expire, another_key):
        case.act(api)
        return
    name = f"*/phase.{case.at}.verdict.json"

    def strike() -> None:
        until(lambda: list((project.root / "reports" / "flows").glob(name)), name)
        case.act(api)

    threading.Thread(target=strike, daemon=True).start()


@pytest.mark.timeout(900)
@pytest.mark.long
@pytest.mark.parametrize("cases", [essential, of_p10, of_p30, of_p40_to_p80, of_p90])
def test_no_switch_of_the_account_leaks_a_pod_of_a_whole_flow(
    cases: Callable[[], list[Case]],
    new_account: Callable[..., LoopbackLium],
    project_of: Callable[..., Any],
) -> None:
    tried = cases()
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda case: fly(case, new_account, project_of), tried))
    good = sum(o.code == 0 for o in outcomes)
    deleted = sum(o.deleted for o in outcomes)
    leaked = sum(o.leaked for o in outcomes)
    print(f"{cases.__name__}: {len(tried)} flows, {good} good, {deleted} deleted, {leaked} leaked")
    assert [what for outcome in outcomes for what in outcome.wrong] == []
    assert leaked == 0
    assert deleted >= len(tried) / 5
