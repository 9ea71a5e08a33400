"""Renting four pods for one flow from a loopback account, on good days and bad ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.loopback import Behaviour, Fault, Node
from pytest_wf.pods.base import Rented
from pytest_wf.pods.rental.timing import Timing
from tests.pods.conftest import LIUM_FLOW, LIUM_TIMING, SHORT_LIUM_TIMING
from tests.support.lium_days import Case, faults, moods

Renters = Callable[..., Any]


@pytest.fixture
def renter(lium_renter: Renters) -> Renters:
    """Makes renters: `behaviour`, `nodes`, and config keys in lower case."""
    return lium_renter


def nodes(*prices: float) -> list[Node]:
    return [Node(price_per_gpu=price) for price in prices]


def end_all(it: Any, pods: Sequence[Rented]) -> list[str]:
    """Delete the pods side by side, as P90 does; the errors."""

    def end(pod: Rented) -> str:
        try:
            it.release(pod)
        except OperationFailed as e:
            return str(e)
        return ""

    with ThreadPoolExecutor(len(pods) or 1) as pool:
        return [error for error in pool.map(end, pods) if error]


def test_four_pods_are_rented_by_one_wish_and_one_listing_of_nodes(renter: Renters) -> None:
    it = renter(Behaviour(boot_s=0.3), nodes(2, 2, 2, 2, 9), wf_max_usd_per_hour=8, lium_ttl="1h")
    rented = it.rent_pods(4, 4)
    assert rented.missing == ()
    billed = it.api.account.billed()
    assert {pod.name for pod in billed} == {f"pytest-wf-abc123-pod{n}" for n in (1, 2, 3, 4)}
    assert [pod.target.name for pod in rented.pods] == [pod.id for pod in billed]
    assert all(pod.is_new and pod.facts["removal_at"] for pod in rented.pods)
    assert it.api.account.most_usd_per_hour == 8.0
    assert set(it.standing().values()) == {"held"}
    assert end_all(it, rented.pods) == []
    assert it.api.account.billed() == []


def test_pods_that_are_free_are_used_again_and_the_others_are_rented(renter: Renters) -> None:
    it = renter(nodes=nodes(2, 2, 2, 2), wf_max_usd_per_hour=8)
    first = it.rent_pods(2, 2)
    for rental in it.journal.rentals():
        it.journal.update(rental, owner={})
    again = it.rent_pods(4, 4, "f-20260102T030405Z-fffff2")
    assert [pod.is_new for pod in again.pods] == [False, False, True, True]
    assert [pod.target for pod in again.pods[:2]] == [pod.target for pod in first.pods]
    assert it.api.account.most_billed == 4


def test_fewer_than_are_needed_are_not_rented_at_all_where_the_listing_says_so(
    renter: Renters,
) -> None:
    for some, ceiling in ((nodes(2, 2, 2), 20), (nodes(2, 2, 2, 2), 7)):
        it = renter(nodes=some, wf_max_usd_per_hour=ceiling)
        with pytest.raises(OperationFailed, match="nodes for 3 of 4 pods are on offer"):
            it.rent_pods(4, 4)
        assert "rent" not in it.api.requests


def test_three_of_four_are_kept_where_three_are_enough_and_it_is_said_why(renter: Renters) -> None:
    it = renter(Behaviour(creation_failures=1, vanish_s=3600), nodes(2, 2, 2, 2))
    rented = it.rent_pods(4, 3)
    assert len(rented.pods) == len(it.api.account.billed()) == 3
    assert "1 nodes were tried" in rented.missing[0]


def test_where_too_few_come_those_that_were_rented_are_given_back_with_all_reasons(
    renter: Renters,
) -> None:
    it = renter(Behaviour(creation_failures=1, vanish_s=3600), nodes(2, 2, 2, 2))
    with pytest.raises(OperationFailed) as error:
        it.rent_pods(4, 4)
    told = str(error.value)
    assert "only 3 of 4 pods could be rented; WF_PODS_MIN is 4" in told
    assert "CREATION_FAILED" in told
    assert "3 that this flow had rented were given back" in told
    assert (it.api.account.billed(), it.api.account.most_billed) == ([], 3)


def test_what_is_billed_dearer_ends_the_rents_before_the_sum_exceeds_the_ceiling(
    renter: Renters,
) -> None:
    it = renter(Behaviour(billed_factor=1.5), nodes(2, 2, 2, 2), wf_max_usd_per_hour=8)
    with pytest.raises(OperationFailed, match=r"costs \$3/h, not \$2/h as listed"):
        it.rent_pods(4, 2)
    assert (it.api.account.billed(), it.api.account.most_usd_per_hour) == ([], 3.0)


def test_rents_without_answers_are_all_recovered(renter: Renters) -> None:
    lost = Behaviour(
        idempotent=False, faults=[Fault("rent", "drop-after", times=4)], listing_delay_s=0.2
    )
    it = renter(lost, nodes(2, 2, 2, 2))
    rented = it.rent_pods(4, 4)
    assert {p.target.name for p in rented.pods} == {p.id for p in it.api.account.billed()}
    assert (it.api.requests.count("rent"), it.api.account.most_billed) == (4, 4)


def test_pods_of_a_flow_that_was_stopped_while_it_rented_are_found_but_for_those_it_bound(
    renter: Renters,
) -> None:
    it = renter(nodes=nodes(2, 2, 2))
    rented = it.rent_pods(3, 3)
    bound = rented.pods[0].target.name
    unbound = it.provider.find_unbound_pods(
        it.config, LIUM_FLOW, it.said.append, str(it.project), {bound}
    )
    assert [pod.target for pod in unbound] == [pod.target for pod in rented.pods[1:]]
    assert {pod.is_new for pod in unbound} == {True}


def test_every_request_is_counted_against_the_rate_repeated_ones_too(renter: Renters) -> None:
    again = [Fault(route, "503") for route in ("nodes", "pods", "delete")]
    it = renter(Behaviour(faults=again), nodes(2, 2, 2, 2), lium_ttl="1h")
    rented = it.rent_pods(4, 4)
    assert end_all(it, rented.pods) == []
    assert it.provider._pace.count == len(it.api.requests) > 40


def test_the_removals_of_four_pods_are_scheduled_and_cancelled_side_by_side(
    renter: Renters,
) -> None:
    it = renter(nodes=nodes(2, 2, 2, 2))
    rented = it.rent_pods(4, 4)

    def schedule(after_s: int) -> list[str]:
        def one(pod: Rented) -> str:
            root = str(it.project)
            read: str = it.provider.schedule_removal(pod.target, it.config, root, after_s)
            return read

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, rented.pods))

    assert all(schedule(3600))
    assert all(pod.removal_at is not None for pod in it.api.account.billed())
    assert schedule(0) == [""] * 4
    assert all(pod.removal_at is None for pod in it.api.account.billed())


# ---- every bad day that one rent has, for four pods ---------------------------------------

CEILING = 9.0


def wrong_of(case: Case, make: Renters) -> list[str]:
    """Rent four pods, of which two are needed, end them, and look at the books."""
    it = make(
        case.behaviour,
        nodes(2, 2, 2, 2, 2.5, 3),
        SHORT_LIUM_TIMING,
        lium_ttl="1h",
        wf_max_usd_per_hour=CEILING,
        lium_up_timeout_secs=2,
    )
    account, told, known = it.api.account, "", set()
    try:
        rented = it.rent_pods(4, 2)
        told = " ".join(rented.missing)
        known = {pod.target.name for pod in rented.pods}
        told += " ".join(end_all(it, rented.pods))
    except OperationFailed as e:
        told = str(e)
    case.behaviour.faults.clear()
    case.behaviour.listing_delay_s = 0.0
    case.behaviour.scopes = Behaviour().scopes
    wrong = []
    for pod in account.billed():
        if pod.id not in told and pod.name not in told:
            wrong.append(f"{pod.name} is billed, and nothing says so: {told}")
        if pod.id not in it.standing():
            wrong.append(f"`wf pod-list` does not show {pod.name}")
    if account.most_usd_per_hour > CEILING:
        wrong.append(f"${account.most_usd_per_hour}/h were billed")
    if account.most_billed > 4:
        wrong.append(f"{account.most_billed} pods were billed at one time")
    if not {pod.name for pod in account.billed()} <= {r.name for r in it.journal.rentals()}:
        wrong.append("a pod is billed that the journal does not know")
    assert known or told
    return [f"{case.name}: {what}" for what in wrong]


def all_wrong(cases: Sequence[Case], renter: Renters) -> list[str]:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda case: wrong_of(case, renter), cases))
    return [wrong for day in found for wrong in day]


FEW = {
    "creation failed twice",
    "lost answer, very late listing",
    "billed dearer",
    "removal ignored",
    "no balance",
    "may not delete",
}


def test_no_bad_day_of_a_few_leaks_one_of_four_pods_or_exceeds_the_ceiling(
    renter: Renters,
) -> None:
    cases = [case for case in moods() if case.name in FEW]
    assert len(cases) == len(FEW)
    assert all_wrong(cases, renter) == []


@pytest.mark.long
def test_no_bad_day_leaks_one_of_four_pods_or_exceeds_the_ceiling(renter: Renters) -> None:
    assert all_wrong([*moods(), *faults()], renter) == []


@pytest.mark.long
def test_twelve_pods_stay_within_sixty_requests_a_minute_by_the_accounts_own_clock(
    renter: Renters,
) -> None:
    it = renter(Behaviour(boot_s=1.0), nodes(*[2.0] * 12), lium_up_timeout_secs=600)
    of_a_flow = Timing()
    it.provider._given_timing = replace(
        LIUM_TIMING, requests=of_a_flow.requests, window_s=of_a_flow.window_s, delete_s=120
    )
    rented = it.rent_pods(12, 12)
    assert end_all(it, rented.pods) == []
    assert it.api.account.billed() == []
    assert len(it.api.requests) > 90
    assert it.api.busiest(60.0) <= 60
