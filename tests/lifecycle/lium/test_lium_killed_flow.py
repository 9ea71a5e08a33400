"""Whole flows that are killed or interrupted at a request to the account, and what comes after."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_wf.loopback import LoopbackLium, Node

WITHOUT_SWEEP = ("--wf-sweep=skip", "--wf-teardown=delete")
#: No flow asks for this route by itself: a phase of the test marks its place among the requests.
MARK = """
import os, urllib.request

pytestmark = pytest.mark.slow
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
opener.open(os.environ["LIUM_BASE_URL"] + "/machines", timeout=60).read()
"""


class Sniper:
    """Sends a signal to a flow at a request of its own choice, while the answer is held back."""

    def __init__(self, api: LoopbackLium, project: Any) -> None:
        self.api = api
        self.project = project
        self._run: Any = None
        self._is_started = threading.Event()
        self._ended = threading.Event()
        #: The route at which it struck; '' for none.
        self.struck = ""

    def flow(self, is_it: Callable[[int, str, str], bool], with_signal: int, *words: str) -> Any:
        """Run a flow; `is_it` is asked with the request's number, route and moment."""

        done, struck_at = threading.Event(), -1

        def watch(at: int, route: str, moment: str) -> None:
            nonlocal struck_at
            if at == struck_at and moment == "after":
                done.set()
            if self.struck or not is_it(at, route, moment):
                return
            self.struck, struck_at = f"{moment} {route}", at
            if moment == "after":
                done.set()
            assert self._is_started.wait(60)
            os.kill(self._run.process.pid, with_signal)
            self._ended.wait(60)

        self.api.watch = watch
        self._run = self.project.start(*words)
        self._is_started.set()
        self._run.wait()
        self._ended.set()
        # what was asked for takes effect although nobody hears of it
        assert not self.struck or done.wait(60)
        self.api.watch = lambda at, route, moment: None
        return self._run


def listed(project: Any) -> dict[str, str]:
    """What `wf pod-list` shows: standing by pod id."""
    shown = project.wf("pod-list", "--json")
    assert shown.returncode == 0, shown.stderr
    return {pod["id"]: pod["standing"] for pod in json.loads(shown.stdout)["pods"]}


Point = tuple[str, int, str]


def around_rent_and_delete(of_p10: int, of_p90: int, rent: int) -> list[Point]:
    """After the request that begins a pod, and around the one that ends it."""
    return [("P10", rent, "after"), ("P90", 0, "before"), ("P90", 0, "after")]


def at_every_request(of_p10: int, of_p90: int, rent: int) -> list[Point]:
    """After each request of P10 and P90, and before the two that begin and end a pod."""
    points = [("P10", at, "after") for at in range(of_p10)]
    points += [("P90", at, "after") for at in range(of_p90)]
    return [*points, ("P10", rent, "before"), ("P90", 0, "before")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "choose", [around_rent_and_delete, pytest.param(at_every_request, marks=pytest.mark.long)]
)
def test_a_flow_that_is_killed_in_p10_or_p90_leaves_one_known_pod_at_most(
    new_account: Callable[..., LoopbackLium],
    project_of: Callable[..., Any],
    choose: Callable[[int, int, int], list[Point]],
) -> None:
    nodes = [Node(), Node()]
    whole = new_account(nodes=nodes)
    project = project_of(whole)
    project.phase("P15", MARK, "rented")
    project.phase("P85", MARK, "ended")
    flown = project.flow(*WITHOUT_SWEEP)
    assert flown.code == 0, flown.output
    of_p10 = whole.requests.index("machines")
    of_p90 = len(whole.requests) - 1 - whole.requests.index("machines", of_p10 + 1)
    assert whole.requests[:of_p10].count("rent") == 1
    assert whole.requests[-of_p90:].count("delete") == 1

    def kill(phase: str, at: int, moment: str) -> tuple[str, int]:
        api = new_account(nodes=[Node(), Node()])
        project = project_of(api, LIUM_LISTING_LAG_SECS="5")
        began = 0
        if phase == "P90":
            project.phase("P85", MARK)
            began = -1

        def is_it(number: int, route: str, now: str) -> bool:
            nonlocal began
            if route == "machines" and began < 0:
                began = number + 1
            return began >= 0 and (number - began, now) == (at, moment)

        sniper = Sniper(api, project)
        sniper.flow(is_it, signal.SIGKILL, *WITHOUT_SWEEP)
        left = {pod.id for pod in api.account.billed()}
        shown = listed(project)
        assert left == set(shown), (phase, at, moment)
        assert "held" not in shown.values(), (phase, at, moment)
        again = project.wf("pod-up", "--json")
        assert again.returncode == 0, again.stderr
        bound = json.loads(again.stdout)["rented"]
        assert left <= {bound}, (phase, at, moment)
        assert [pod.id for pod in api.account.billed()] == [bound]
        assert api.account.most_billed == 1, (phase, at, moment)
        if sniper.struck in ("after rent", "before delete"):
            resumed = project.flow(*WITHOUT_SWEEP)
            assert resumed.code == 0, resumed.output
            assert resumed.record("phase.P10.evidence")["facts"]["rented"] == bound
            assert (api.account.billed(), api.account.most_billed) == ([], 1)
        return sniper.struck, len(left)

    points = choose(of_p10, of_p90, whole.requests.index("rent"))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda point: kill(*point), points))
    assert all(struck for struck, _ in found)
    print(f"{len(found)} flows killed; {sum(left for _, left in found)} left a pod, none two")
    assert {left for _, left in found} == {0, 1}


@pytest.mark.parametrize("policy", ["keep", "delete"])
def test_ctrl_c_between_a_rent_and_its_answer_is_followed_by_p90s_policy(
    project_of: Callable[..., Any], api: LoopbackLium, policy: str
) -> None:
    project = project_of(api, WF_TEARDOWN_ON_FAILURE=policy)
    sniper = Sniper(api, project)
    run = sniper.flow(
        lambda number, route, moment: (route, moment) == ("rent", "after"), signal.SIGINT
    )
    assert (sniper.struck, run.code) == ("after rent", 2), run.output
    (pod,) = api.account.pods
    evidence = run.record("phase.P90.evidence")
    assert evidence["resolved_target"] == f"lium:{pod.id}"
    assert run.record("phase.P90.verdict")["phase_pass"] is True, run.output
    assert run.record("flow.summary")["usd_per_hour"] == 2.0
    facts = evidence["facts"]
    if policy == "keep":
        assert (facts["kept"], facts["usd_per_hour"]) == (pod.id, 2.0)
        assert f"{pod.id} is kept at $2/h" in run.output
        assert listed(project) == {pod.id: "kept"}
    else:
        assert (facts["deleted"], facts["released"]["confirmed_absent"]) == (True, True)
        assert (api.account.billed(), listed(project)) == ([], {})
    assert api.account.most_billed == 1
