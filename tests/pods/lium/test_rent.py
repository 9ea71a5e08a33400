"""Renting and ending against a loopback account, with the real SDK, on good days and bad ones."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.rented_pods import list_pods
from pytest_wf.loopback import Behaviour, Fault, Node
from pytest_wf.pods.rental.timing import Timing
from tests.pods.conftest import LIUM_TIMING, SHORT_LIUM_TIMING
from tests.support.lium_days import Case, faults, moods

Renters = Callable[..., Any]
#: The flow that `it.rent()` is for.
FLOW = "f-20260102T030405Z-abc123"


@pytest.fixture
def renter(lium_renter: Renters) -> Renters:
    """Makes renters: `behaviour`, `nodes`, and config keys in lower case."""
    return lium_renter


def kind_of(error: pytest.ExceptionInfo[OperationFailed]) -> str:
    return error.value.kind


def test_a_pod_is_rented_once_under_the_flows_name_and_ended_for_good(
    renter: Renters,
) -> None:
    it = renter(lium_ttl="90m", wf_max_usd_per_hour=2)
    rented = it.rent()
    (pod,) = it.api.account.billed()
    assert (rented.target.name, pod.name) == (pod.id, "pytest-wf-abc123")
    assert rented.target.source == "autobind"
    assert rented.is_new and rented.usd_per_hour == 2.0
    assert pod.payload["enable_backups"] is False
    assert it.journal.of_pod(pod.id) is not None
    facts = it.release(rented)
    assert facts["deleted"] is True and facts["confirmed_absent"] is True
    assert facts["cost_from"] == "statement"
    assert it.api.account.billed() == []
    assert [r.state for r in it.journal.rentals()] == ["deleted"]
    assert it.api.requests.count("rent") == 1


def test_the_plan_and_its_price_are_told_before_the_rent(renter: Renters) -> None:
    it = renter(lium_ttl="2h", wf_max_usd_per_hour=3)
    it.rent()
    assert "for $2/h, at most $3/h, ends by itself after 2h" in it.said[0]


def test_the_time_to_live_goes_with_the_rent_and_is_read_back_after_the_boot(
    renter: Renters,
) -> None:
    it = renter(Behaviour(boot_s=0.2), lium_ttl="90m")
    rented = it.rent()
    (pod,) = it.api.account.billed()
    assert pod.payload["termination_hours"] == 2
    assert pod.removal_at is not None
    lives_s = (pod.removal_at - pod.rented_at).total_seconds()
    assert abs(lives_s - 90 * 60) < 60
    assert rented.facts["removal_at"].startswith(pod.removal_at.strftime("%Y-%m-%dT%H:%M"))


def test_a_time_to_live_that_cannot_be_read_back_gives_the_pod_back(
    renter: Renters,
) -> None:
    it = renter(Behaviour(ignore_schedule=True), timing=SHORT_LIUM_TIMING, lium_ttl="30m")
    with pytest.raises(OperationFailed, match=r"LIUM_TTL=30m could not be armed"):
        it.rent()
    assert it.api.account.billed() == []


def test_secure_nodes_come_first_and_nothing_dearer_than_the_ceiling_is_rented(
    renter: Renters,
) -> None:
    nodes = [Node(price_per_gpu=1.0, tier="spot"), Node(price_per_gpu=3.0), Node(price_per_gpu=2.5)]
    assert renter(nodes=nodes).rent().usd_per_hour == 2.5
    assert renter(nodes=nodes, wf_max_usd_per_hour=2).rent().usd_per_hour == 1.0
    dear = renter(nodes=nodes, wf_max_usd_per_hour=0.5)
    with pytest.raises(OperationFailed, match=r"more than \$0.5/h"):
        dear.rent()
    assert "rent" not in dear.api.requests


def test_a_price_that_rises_between_listing_and_rent_stops(
    renter: Renters,
) -> None:
    for listings in (1, 2, 3):
        it = renter(Behaviour(price_rises_after=listings))
        with pytest.raises(OperationFailed, match=r"rose from \$2/h to \$4/h"):
            it.rent()
        assert "rent" not in it.api.requests


def test_a_pod_that_is_billed_at_more_than_its_node_was_listed_for_is_given_back(
    renter: Renters,
) -> None:
    it = renter(Behaviour(billed_factor=1.5))
    with pytest.raises(OperationFailed, match=r"costs \$3/h, not \$2/h as listed"):
        it.rent()
    assert it.api.account.billed() == []


@pytest.mark.parametrize("fault", ["500", "503", "drop-before", "drop-after"])
def test_a_rent_without_an_answer_is_sent_again_where_the_api_honours_its_key(
    renter: Renters, fault: str
) -> None:
    it = renter(Behaviour(faults=[Fault("rent", fault, times=2)], listing_delay_s=0.4))
    rented = it.rent()
    assert [pod.id for pod in it.api.account.billed()] == [rented.target.name]
    assert it.api.requests.count("rent") == 3
    assert it.api.account.most_billed == 1


def test_after_a_rent_that_was_answered_with_an_error_and_made_no_pod_the_next_node_is_tried(
    renter: Renters,
) -> None:
    refusing = Behaviour(idempotent=False, faults=[Fault("rent", "500")])
    it = renter(refusing, [Node(), Node()], SHORT_LIUM_TIMING)
    rented = it.rent()
    assert [pod.id for pod in it.api.account.billed()] == [rented.target.name]
    assert "500" in rented.facts["tried"][0]["why"]
    assert it.api.requests.count("rent") == 2


def test_a_refusal_of_a_rent_that_was_sent_again_is_settled_by_looking(renter: Renters) -> None:
    # the API says that it honours keys, and does not: the node is taken by our own pod
    it = renter(Behaviour(faults=[Fault("rent", "drop-after")], forgets_keys=True))
    rented = it.rent()
    assert [pod.id for pod in it.api.account.billed()] == [rented.target.name]
    assert it.api.account.most_billed == 1


def test_a_rent_without_an_answer_is_settled_by_looking_where_keys_are_not_honoured(
    renter: Renters,
) -> None:
    it = renter(
        Behaviour(idempotent=False, faults=[Fault("rent", "drop-after")], listing_delay_s=0.4)
    )
    rented = it.rent()
    assert [pod.id for pod in it.api.account.billed()] == [rented.target.name]
    assert it.api.requests.count("rent") == 1


def test_a_rent_that_nobody_knows_about_ends_the_search_and_is_found_by_the_next_flow(
    renter: Renters,
) -> None:
    it = renter(
        Behaviour(idempotent=False, faults=[Fault("rent", "drop-after")], listing_delay_s=3600),
        timing=SHORT_LIUM_TIMING,
    )
    with pytest.raises(OperationFailed, match="is unknown") as error:
        it.rent()
    assert kind_of(error) == "provider"
    assert it.api.account.most_billed == 1
    dead = it.journal.rentals()[0]
    it.journal.update(dead, owner={})
    it.api.behaviour.listing_delay_s = 0
    again = it.rent("f-20260102T030405Z-fffff1")
    assert not again.is_new
    assert again.target.name == it.api.account.billed()[0].id
    assert (it.api.account.most_billed, it.api.requests.count("rent")) == (1, 1)


def test_a_pod_that_was_asked_for_just_now_is_shown_and_awaited_until_it_is_listed(
    renter: Renters,
) -> None:
    it = renter(
        Behaviour(idempotent=False, faults=[Fault("rent", "drop-after")], listing_delay_s=3600),
        timing=SHORT_LIUM_TIMING,
    )
    with pytest.raises(OperationFailed, match="is unknown"):
        it.rent()
    (pod,) = it.api.account.billed()
    it.provider._given_timing = LIUM_TIMING
    (shown,) = it.provider.list_pods(it.config, str(it.project))
    assert (shown.name, shown.standing, shown.status) == (pod.name, "unlisted", "UNKNOWN")
    it.journal.update(it.journal.rentals()[0], owner={})
    asked = it.api.requests.count("pods")

    def list_it_late(number: int, route: str, moment: str) -> None:
        if it.api.requests.count("pods") == asked + 3:
            it.api.behaviour.listing_delay_s = 0

    it.api.watch = list_it_late
    again = it.rent("f-20260102T030405Z-fffff1")
    assert (again.target.name, again.is_new) == (pod.id, False)
    assert (it.api.account.most_billed, it.api.requests.count("rent")) == (1, 1)
    assert set(it.standing().values()) == {"held"}


def test_a_pod_that_this_flow_asked_for_is_found_again_or_the_search_says_unknown(
    renter: Renters,
) -> None:
    lost = Behaviour(idempotent=False, faults=[Fault("rent", "drop-before")])
    it = renter(lost, timing=SHORT_LIUM_TIMING)
    with pytest.raises(OperationFailed, match="is unknown"):
        it.rent()

    def left() -> Any:
        return it.provider.find_unbound(it.config, FLOW, it.said.append, str(it.project))

    with pytest.raises(OperationFailed, match=r"pytest-wf-abc123 exists, at \$2/h, is unknown"):
        left()
    it.api.behaviour.faults.append(Fault("pods", "503", times=-1))
    with pytest.raises(OperationFailed, match="gives no answer"):
        left()
    it.api.behaviour.faults.clear()
    assert (
        it.provider.find_unbound(it.config, "f-20260102T030405Z-fffff9", print, str(it.project))
        is None
    )
    node = it.journal.rentals()[0].node_id
    pod_id = it.api.account.rent(node, {"pod_name": "pytest-wf-abc123"}, "k")["pod_id"]
    found = left()
    assert (found.target.name, found.is_new, found.usd_per_hour) == (pod_id, True, 2.0)
    it.release(found)
    assert (left(), it.api.account.billed()) == (None, [])


@pytest.mark.parametrize("by", ["find_unbound", "rent"])
def test_one_listing_without_a_pod_does_not_say_that_it_is_gone(renter: Renters, by: str) -> None:
    it = renter()
    rented = it.rent()
    it.journal.update(it.journal.rentals()[0], rented_at="2026-01-01T00:00:00Z", owner={})
    account, listed = it.api.account, it.api.account.list_pods
    looks = iter([0])
    account.list_pods = lambda: listed()[: next(looks, None)]
    if by == "rent":
        again = it.rent("f-20260102T030405Z-fffff2")
    else:
        it.journal.update(it.journal.rentals()[0], owner={"flow_id": FLOW})
        again = it.provider.find_unbound(it.config, FLOW, it.said.append, str(it.project))
    assert again.target.name == rented.target.name
    assert account.most_billed == 1


def test_another_pod_of_the_same_name_is_never_taken_for_our_own(
    renter: Renters,
) -> None:
    it = renter(Behaviour(idempotent=False), [Node(), Node()], SHORT_LIUM_TIMING)
    stranger = it.api.account.rent(
        it.api.account.nodes[1].id, {"pod_name": "pytest-wf-abc123"}, "k"
    )["pod_id"]
    it.api.behaviour.faults.append(Fault("rent", "drop-before"))
    with pytest.raises(OperationFailed, match="is unknown"):
        it.rent()
    assert [pod.id for pod in it.api.account.billed()] == [stranger]


def test_a_pod_that_nobody_works_on_is_used_again_and_a_held_one_is_not(
    renter: Renters,
) -> None:
    it = renter(nodes=[Node(), Node()])
    first = it.rent()
    second = it.rent("f-20260102T030405Z-fffff2")
    assert first.target != second.target
    for rental in it.journal.rentals():
        if rental.pod_id == first.target.name:
            it.journal.update(rental, owner={})
    third = it.rent("f-20260102T030405Z-fffff3")
    assert (third.target, third.is_new) == (first.target, False)
    assert it.api.requests.count("rent") == 2


def test_a_pod_of_another_account_is_not_taken_for_gone(renter: Renters) -> None:
    it = renter(nodes=[Node(), Node()])
    first = it.rent()
    it.journal.update(it.journal.of_pod(first.target.name), owner={})
    pods, it.api.account.pods = it.api.account.pods, []
    it.api.user_id = "u-2"
    assert it.rent("f-20260102T030405Z-fffff2").is_new
    assert it.journal.of_pod(first.target.name).state == "rented"
    it.api.account.pods, it.api.user_id = pods, "u-1"
    assert it.rent("f-20260102T030405Z-fffff3").target == first.target


def test_several_pods_that_nobody_works_on_are_named_and_none_is_chosen(
    renter: Renters,
) -> None:
    it = renter(nodes=[Node(), Node(), Node()])
    pods = [it.rent(f"f-20260102T030405Z-fffff{n}").target.name for n in range(2)]
    for rental in it.journal.rentals():
        it.journal.update(rental, owner={})
    with pytest.raises(OperationFailed) as error:
        it.rent()
    assert all(pod in str(error.value) for pod in pods)
    assert len(it.api.account.billed()) == 2


def test_a_pod_that_never_boots_is_ended_before_the_next_node_is_tried(
    renter: Renters,
) -> None:
    it = renter(
        Behaviour(never_boot=1, refuse_delete_while_pending=False),
        [Node(), Node()],
        lium_up_timeout_secs=1,
    )
    rented = it.rent()
    (pod,) = it.api.account.billed()
    assert rented.target.name == pod.id
    assert it.api.account.most_billed == 1
    assert len({p.node.id for p in it.api.account.pods}) == 2


def test_a_pod_that_never_boots_and_cannot_be_ended_stops_the_flow_and_ends_by_itself(
    renter: Renters,
) -> None:
    nodes = [Node(), Node()]
    it = renter(Behaviour(never_boot=1), nodes, SHORT_LIUM_TIMING, lium_up_timeout_secs=1)
    with pytest.raises(OperationFailed, match="may still be billing at") as error:
        it.rent()
    (pod,) = it.api.account.billed()
    assert pod.removal_at is not None
    assert pod.id in str(error.value)
    assert it.api.requests.count("rent") == 1


def test_an_end_that_cannot_be_proved_is_scheduled_and_says_what_is_billing(
    renter: Renters,
) -> None:
    it = renter(Behaviour(ignore_delete=True), timing=SHORT_LIUM_TIMING)
    rented = it.rent()
    with pytest.raises(OperationFailed) as error:
        it.release(rented)
    assert kind_of(error) == "delete"
    assert rented.target.name in str(error.value) and "$2/h" in str(error.value)
    (pod,) = it.api.account.billed()
    assert pod.removal_at is not None
    assert it.standing() == {pod.id: "orphan"}


def test_only_the_named_pod_is_ended_and_only_one_of_ours(renter: Renters) -> None:
    it = renter(nodes=[Node(), Node(), Node()])
    account = it.api.account
    foreign = account.rent(account.nodes[0].id, {"pod_name": "somebody-elses"}, "a")["pod_id"]
    stray = account.rent(account.nodes[1].id, {"pod_name": "pytest-wf-00beef"}, "b")["pod_id"]
    rented = it.rent()
    assert it.standing() == {stray: "orphan", rented.target.name: "held"}
    with pytest.raises(OperationFailed, match="no pod of this product"):
        it.delete(foreign)
    with pytest.raises(OperationFailed, match="is in use"):
        it.delete(rented.target.name)
    it.delete(stray)
    assert {pod.id for pod in account.billed()} == {foreign, rented.target.name}


@pytest.mark.parametrize("written", ["", "pytest-wf-abc123"])
def test_a_rental_without_a_pods_id_deletes_no_other_pod(renter: Renters, written: str) -> None:
    lost = Behaviour(idempotent=False, faults=[Fault("rent", "drop-before")])
    it = renter(lost, [Node(), Node()], SHORT_LIUM_TIMING)
    with pytest.raises(OperationFailed, match="is unknown"):
        it.rent()
    account = it.api.account
    stray = account.rent(account.nodes[1].id, {"pod_name": "pytest-wf-00beef"}, "b")["pod_id"]
    it.provider._given_timing = Timing(poll_s=0.05, settle_s=60.0)
    it.journal.update(it.journal.rentals()[0], owner={})
    assert it.standing() == {stray: "orphan", "": "unlisted"}
    with pytest.raises(OperationFailed, match=r"exists is unknown|called ''"):
        it.delete(written)
    assert [pod.id for pod in account.billed()] == [stray]
    assert "delete" not in it.api.requests


def test_a_pod_that_was_just_listed_is_deleted_without_a_second_listing_before(
    renter: Renters,
) -> None:
    it = renter()
    account = it.api.account
    account.rent(account.nodes[0].id, {"pod_name": "pytest-wf-00beef"}, "b")
    it.api.behaviour.faults.append(Fault("pods", "429", skip=1))
    it.delete("pytest-wf-00beef")
    assert account.billed() == []
    assert it.api.requests[:2] == ["pods", "delete"]


def test_pods_of_a_renter_whose_keys_are_no_longer_set_are_listed_while_one_may_exist(
    renter: Renters,
) -> None:
    it = renter(wf_provider="other")
    rented = it.rent()

    def listed() -> list[str]:
        found = list_pods(it.as_project(), [it.provider])
        return [pod["id"] for pod in found.facts["pods"]]

    assert listed() == [rented.target.name]
    it.release(rented)
    it.api.requests.clear()
    assert (listed(), it.api.requests) == ([], [])


def test_a_missing_public_key_is_told_before_nodes_are_listed(
    renter: Renters, tmp_path: Path
) -> None:
    it = renter()
    it.settings.ssh_key_path = tmp_path / "none"
    with pytest.raises(OperationFailed, match="no public SSH key"):
        it.rent()
    assert "nodes" not in it.api.requests


def test_a_volume_is_found_by_its_huid_and_made_once(renter: Renters) -> None:
    it = renter(nodes=[Node(), Node()], lium_volume="new:name=results")
    it.rent()
    it.rent("f-20260102T030405Z-fffff2")
    (volume,) = it.api.account.volumes
    assert [pod.payload["volume_id"] for pod in it.api.account.pods] == [volume["id"]] * 2
    assert it.provider.volumes(it.config, str(it.project))[0]["name"] == "results"
    lost = renter(lium_volume="id:no-such-volume")
    with pytest.raises(OperationFailed, match="means 0 volumes") as error:
        lost.rent()
    assert kind_of(error) == "volume"
    assert "rent" not in lost.api.requests


# ---- every switch, in each phase that meets it -------------------------------------------


@dataclass
class Outcome:
    """What a day came to."""

    rented: bool = False
    ended: bool = False
    #: Pods that are billed and that nobody was told of.
    leaked: int = 0
    most_billed: int = 0
    wrong: tuple[str, ...] = ()


def _day(case: Case, make: Renters) -> Outcome:
    """Rent, release, and look at the books."""
    nodes = [Node(price_per_gpu=2.0 + n) for n in range(case.nodes)]
    keys = {"lium_ttl": "1h", "wf_max_usd_per_hour": 4, "lium_up_timeout_secs": 2}
    it = make(case.behaviour, nodes, SHORT_LIUM_TIMING, **keys)
    account, wrong = it.api.account, []
    outcome = Outcome()
    says_gone = True
    try:
        rented = it.rent()
        outcome.rented = True
        if [p.id for p in account.billed()] != [rented.target.name]:
            wrong.append("the pod that was handed out is not the one that is billed")
        it.release(rented)
        outcome.ended = True
    except OperationFailed as e:
        told = str(e)
        names = [pod.id for pod in account.billed()] + [pod.name for pod in account.billed()]
        says_gone = not any(name in told for name in names)
    billed = account.billed()
    outcome.most_billed = account.most_billed
    outcome.leaked = len(billed) if says_gone else 0
    case.behaviour.faults.clear()
    case.behaviour.listing_delay_s = 0.0
    case.behaviour.scopes = Behaviour().scopes
    if not {pod.id for pod in billed} <= set(it.standing()):
        wrong.append("wf pod-list does not know a pod that is billed")
    written = {rental.name for rental in it.journal.rentals()}
    if not {pod.name for pod in billed} <= written:
        wrong.append("a pod is billed that the journal does not know")
    if outcome.leaked or outcome.most_billed > 1:
        wrong.append(str(outcome))
    outcome.wrong = tuple(f"{case.name}: {what}" for what in wrong)
    return outcome


def test_no_bad_day_of_the_api_leaks_a_pod_or_bills_two(renter: Renters) -> None:
    cases = [*moods(), *faults()]
    assert len(cases) == 106
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda case: _day(case, renter), cases))
    assert [wrong for outcome in outcomes for wrong in outcome.wrong] == []
    assert sum(outcome.leaked for outcome in outcomes) == 0
    assert max(outcome.most_billed for outcome in outcomes) == 1
    rented = sum(outcome.rented for outcome in outcomes)
    ended = sum(outcome.ended for outcome in outcomes)
    print(f"{len(cases)} days: {rented} rented, {ended} ended, 0 leaked")
    assert min(rented, ended) > 40  # the rest ended in an error that says what exists
