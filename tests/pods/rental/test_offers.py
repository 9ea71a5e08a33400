"""Which nodes are rented for several pods, and at what price together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.pods.rental.account import Offer
from pytest_wf.pods.rental.offers import OfferQueue, has_prefix, pod_name


def offer(price: float, *, free: int = 1, whole_only: bool = False) -> Offer:
    name = f"n{price:g}"
    return Offer(name, name, "H100", "H100", 8, free, price, whole_only=whole_only)


def taken(prices: list[float], pods: int, at_most: float | None) -> list[float]:
    """The prices of the nodes that are rented, in their order."""
    queue = OfferQueue([offer(price) for price in prices], 1)
    found: list[float] = []
    while len(found) < pods:
        left = None if at_most is None else at_most - sum(found)
        one = queue.take(pods - len(found), left)
        if one is None:
            break
        found.append(one.usd_per_gpu)
    return found


@pytest.mark.parametrize(
    ("prices", "pods", "at_most", "rented"),
    [
        ([3, 2, 2, 9], 2, None, [3, 2]),
        ([3, 2, 2, 9], 2, 5, [3, 2]),
        ([3, 2, 2, 9], 2, 4, [2, 2]),
        ([3, 2, 2, 9], 3, 4.5, [2, 2]),
        ([3, 2], 1, 1, []),
        ([4, 1, 1, 1], 4, 7, [4, 1, 1, 1]),
        ([4, 1, 1, 1], 3, 4, [1, 1, 1]),
    ],
)
def test_offers_are_taken_in_their_order_where_that_leaves_enough_for_the_others(
    prices: list[float], pods: int, at_most: float | None, rented: list[float]
) -> None:
    assert taken(prices, pods, at_most) == rented


@given(st.lists(st.integers(1, 9).map(float), max_size=12), st.integers(1, 6), st.integers(0, 40))
def test_as_many_are_rented_as_the_ceiling_allows_and_never_for_more(
    prices: list[float], pods: int, at_most: int
) -> None:
    found = taken(prices, pods, at_most)
    cheapest = sorted(prices)[:pods]
    possible = max(n for n in range(len(cheapest) + 1) if sum(cheapest[:n]) <= at_most)
    assert sum(found) <= at_most
    assert len(found) == possible
    assert possible == OfferQueue([offer(p) for p in prices], 1).affordable(pods, at_most)


def test_a_node_has_room_for_as_many_pods_as_its_free_gpus_allow() -> None:
    queue = OfferQueue([offer(2, free=5), offer(3, free=2, whole_only=True)], 2)
    assert [queue.take(9, None).id for _ in range(3)] == ["n2", "n2", "n3"]  # type: ignore[union-attr]
    assert queue.take(9, None) is None


def test_the_pods_of_a_flow_have_names_with_a_slot_and_a_single_one_has_none() -> None:
    flow_id = "f-20260102T030405Z-abc123"
    names = [pod_name("wf", flow_id, slot) for slot in (0, 1, 12)]
    assert names == ["wf-abc123", "wf-abc123-pod1", "wf-abc123-pod12"]
    assert all(has_prefix("wf", name) for name in names)
    assert not any(has_prefix("wf", f"wf-abc123-{end}") for end in ("pod0", "pod", "podx", "1"))
