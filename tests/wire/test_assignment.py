"""Which member of a fleet trains which row."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire import assignment
from pytest_wf.wire.assignment import Member, Owner, Unassignable, assign
from pytest_wf.wire.rows import Malformed, Row

FLEET = st.lists(st.integers(0, 16), min_size=1, max_size=6).map(
    lambda gpus: [Member(f"pod{n}", count) for n, count in enumerate(gpus, 1)]
)


def rows_of(*gpus: int | None) -> list[Row]:
    """Rows r0, r1 and so on that ask for these GPUs."""
    return [
        Row(n, f"r{n}", "config/a.py", 1, "", (), gpus=count or None)
        for n, count in enumerate(gpus)
    ]


def shares(members: list[Member], rows: list[Row], **more: Any) -> dict[str, int]:
    """How many rows each member gets."""
    return dict(Counter(owner.member for owner in assign(rows, members, **more).values()))


def test_equal_pods_get_rows_in_turn() -> None:
    members = [Member("pod1", 8), Member("pod2", 8)]
    found = assign(rows_of(0, 0, 0), members)
    assert found == {"r0": Owner("pod1", 1), "r1": Owner("pod2", 1), "r2": Owner("pod1", 1)}


def test_a_pod_with_more_gpus_gets_more_rows() -> None:
    members = [Member("pod1", 8), Member("pod2", 4)]
    assert shares(members, rows_of(*[1] * 12)) == {"pod1": 8, "pod2": 4}
    assert shares(members, rows_of(*[0] * 12), gpus_per_run=2) == {"pod1": 8, "pod2": 4}


def test_a_row_goes_only_where_its_gpus_are() -> None:
    found = assign(rows_of(1, 8, 1), [Member("pod1", 1), Member("pod2", 8)])
    assert found["r1"].member == "pod2"
    with pytest.raises(Unassignable, match="no member has the GPUs of row r0; the largest has 2"):
        assign(rows_of(4, 1), [Member("pod1", 2), Member("pod2", 0)])


def test_a_result_keeps_its_row_and_is_no_work() -> None:
    members = [Member("pod1", 1), Member("pod2", 1)]
    found = assign(rows_of(0, 0, 0, 0), members, kept={"r0": "pod2", "r1": "pod2", "r2": "pod9"})
    assert [found[f"r{n}"].member for n in range(4)] == ["pod2", "pod2", "pod1", "pod2"]


@given(FLEET, st.lists(st.integers(0, 4), max_size=40))
def test_every_row_has_one_owner_that_can_train_it_and_no_member_waits(
    members: list[Member], gpus: list[int]
) -> None:
    rows = rows_of(*gpus)
    most = max(member.capacity for member in members)
    if any(row.gpus and row.gpus > most for row in rows):
        with pytest.raises(Unassignable):
            assign(rows, members)
        return
    found = assign(rows, members)
    assert found == assign(list(reversed(rows)), members)
    assert found.keys() == {row.run_id for row in rows}
    by_name = {member.name: member for member in members}
    load: dict[str, int] = dict.fromkeys(by_name, 0)
    for row in rows:
        member = by_name[found[row.run_id].member]
        assert (row.gpus or 0) <= member.capacity
        load[member.name] += row.gpus or 1
    for row in rows:  # moved to any other member that can train it, it would end no earlier
        own, work = by_name[found[row.run_id].member], row.gpus or 1
        others = [m for m in members if (row.gpus or 0) <= m.capacity]
        assert all(
            (load[own.name] - work) / own.capacity <= (load[m.name] + work) / m.capacity
            for m in others
        )


@given(FLEET, st.integers(0, 40))
def test_an_assignment_is_read_as_it_was_written(members: list[Member], count: int) -> None:
    found = assign(rows_of(*[0] * count), members)
    assert assignment.read(assignment.as_json(found)) == found


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"a": "pod1"},
        {"a": ["pod1"]},
        {"a": ["pod0", 1]},
        {"a": ["../x", 1]},
        {"a": ["pod1", 0]},
        {"a": ["pod1", True]},
        {"a": ["pod1", 1.0]},
    ],
)
def test_what_is_no_assignment_is_refused(value: Any) -> None:
    with pytest.raises(Malformed):
        assignment.read(value)
